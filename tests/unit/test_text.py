from __future__ import annotations

from harness import text


def test_numbers_are_short_and_never_scientific() -> None:
    shown = [text.number(x) for x in (0, 0.00001, 0.00312, 0.7891, 1, 14.023, 123.4, 98765.0, float("nan"))]
    assert shown == ["0", "<0.0001", "0.0031", "0.79", "1", "14", "123", "98765", "nan"]
