from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.proposed import case_id, cell_id
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.mutation import trial
from harness.studies.mutation.trial import run_cases
from sdcpp.binding.build_folder import Build
from tests.unit import fake_matrix

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def under(fake_build: Callable[..., Build]) -> BuildUnderTest:
    return fake_matrix.side(fake_build("C"), "mutant", patched=True)


def test_every_case_is_judged_in_matrix_order(under: BuildUnderTest) -> None:
    cells = run_cases(under, jobs=2)
    assert [cell_id(cell) for cell in cells] == [case_id(case) for case in under.cases]
    assert {cell.verdict for cell in cells} == {Verdict.PASS}


def test_the_rest_is_not_run_when_enough_is_known(
    under: BuildUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "FIRST", 2)
    asked: list[int] = []

    def enough(cells: Sequence[Cell]) -> bool:
        asked.append(len(cells))
        return len(cells) == 3

    assert len(run_cases(under, jobs=1, enough=enough)) == 3
    assert asked == [1, 2, 3]


def test_cases_run_in_their_order(under: BuildUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "FIRST", 1)
    backwards = replace(under, cases=under.cases[::-1])
    [first] = run_cases(backwards, jobs=1, enough=bool)
    assert cell_id(first) == case_id(under.cases[-1])
