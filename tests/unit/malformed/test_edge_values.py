from __future__ import annotations

import pytest

from harness.malformed.edge_values import LIMITS, around


@pytest.mark.parametrize(
    ("true", "bits", "wanted"),
    [
        (5, 32, {"zero": 0, "one-less": 4, "one-more": 6, "2p31-1": 2**31 - 1}),
        (1, 32, {"zero": 0, "one-more": 2, "2p31-1": 2**31 - 1}),
        (0, 8, {"one-more": 1}),
        (
            9,
            64,
            {
                "zero": 0,
                "one-less": 8,
                "one-more": 10,
                "2p31-1": 2**31 - 1,
                "2p32": 2**32,
                "2p63-1": 2**63 - 1,
                "2p64-1": 2**64 - 1,
            },
        ),
    ],
)
def test_values_around_the_true_one_fit_and_are_all_others(
    true: int, bits: int, wanted: dict[str, int]
) -> None:
    assert around(true, bits) == wanted
    assert true not in wanted.values()
    assert all(0 <= value < 1 << bits for value in wanted.values())


def test_zero_may_be_left_out() -> None:
    assert "zero" not in around(5, 32, zero=False)


def test_limits_are_what_they_are_called() -> None:
    for name, value in LIMITS.items():
        power, _, less = name.removeprefix("2p").partition("-")
        assert value == 2 ** int(power) - int(less or 0)
