from __future__ import annotations

import pytest

from harness.cases import core
from harness.cases.fixture import BlockQuantiser


@pytest.mark.parametrize(
    ("date", "name"),
    [
        ("2024-03-12", "sd1-whole"),
        ("2024-09-02", "sd1"),
        ("2025-10-17", "sd1"),
        ("2025-11-10", "sd1-tiny"),
        ("2026-01-14", "sd1-tiny"),
        ("2026-02-01", "flux-small"),
        (None, "flux-small"),
        ("1970-01-01", "flux-small"),
    ],
)
def test_the_base_model_is_the_smallest_that_a_revision_loads(date: str | None, name: str) -> None:
    assert core.base_for(date).name == name
    cases = core.matrix(date).cases("A", ("auto", "immediately"), BlockQuantiser())
    assert [case.name for case in cases] == list(core.CORE_CASES)
    assert {case.dimensions["mode"] for case in cases} == {"immediately"}
    assert {shot.base.name for case in cases for shot in case.shots} == {name}
