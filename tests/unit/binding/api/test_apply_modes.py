from __future__ import annotations

from typing import Any


def test_the_modes_are_the_headers(any_bound: Any) -> None:
    choice = ("auto", "immediately", "at_runtime")
    assert any_bound.modes == (("immediately",) if any_bound.generation == "A" else choice)
