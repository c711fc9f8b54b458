"""A library that runs elsewhere than asked for is caught, with a really built one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.records.verdict import Status, Verdict
from harness.verification.run import run_sides
from tests.regress.conftest import PATIENT

pytestmark = PATIENT


@pytest.mark.parametrize("revision", ["2025-12", "2026-05"])
def test_a_fall_back_to_the_cpu_is_no_result_of_the_backend_asked_for(
    builds_under_test: list[BuildUnderTest], revision: str, tmp_path: Path
) -> None:
    whole = next(c for c in builds_under_test if c.side.label == f"{revision} pristine")
    asked = replace(
        whole,
        side=replace(whole.side, backend="cuda"),
        cases=[case for case in whole.cases if case.name == "none"][:1],
    )
    records = run_sides([asked], tmp_path, title="asked for cuda", command="nox -s tests", jobs=1)
    [cell] = records.cells
    assert cell.verdict is Verdict.MISDIRECTED
    assert cell.status is Status.UNEXPECTED
    assert "asked for cuda, the library runs on cpu" in cell.evidence
    assert records.failing == [cell]
