from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.mutation import mutants
from harness.studies.mutation.outcome import Outcome, State, compare, describe
from tests.unit.studies.mutation.mutant_records import cell

MUTANTS = mutants.load()
PLAIN = [cell("a", Verdict.PASS, 0.01), cell("b", Verdict.PASS, 0.01), cell("c", Verdict.ABORT)]


@pytest.mark.parametrize(
    ("mutated", "mistake", "control"),
    [
        ([], State.SURVIVED, State.SILENT),
        ([cell("a", Verdict.WRONG, 0.5)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.NO_EFFECT, 1.0)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.MISDIRECTED)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.ABORT)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.TIMEOUT)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.UNJUDGED)], State.CRASHED, State.NOISY),
        ([cell("c", Verdict.PASS, 0.01)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.ABORT), cell("b", Verdict.WRONG, 0.5)], State.CAUGHT, State.NOISY),
    ],
)
def test_only_a_verdict_about_the_picture_catches_a_mutant(
    mutated: list[Cell], mistake: State, control: State
) -> None:
    changed = {c.case: c for c in mutated}
    cells = [changed.get(c.case, c) for c in PLAIN]
    mutant = MUTANTS[0]
    assert compare(replace(mutant, control=False), PLAIN, cells).state is mistake
    assert compare(replace(mutant, control=True), PLAIN, cells).state is control


def test_a_case_that_fails_without_the_mistake_does_not_catch_it() -> None:
    wrong = [cell("a", Verdict.WRONG, 0.5)]
    assert compare(replace(MUTANTS[0], control=False), wrong, wrong).state is State.SURVIVED


def test_the_first_and_the_strongest_case_are_reported() -> None:
    cells = (
        cell("crash", Verdict.ABORT),
        cell("a", Verdict.WRONG, 0.1),
        cell("b", Verdict.WRONG, 0.9),
        cell("c", Verdict.MISDIRECTED),
    )
    caught = Outcome(mutant=MUTANTS[0], state=State.CAUGHT, cells=cells, tried=4)
    assert caught.first is cells[1]
    assert caught.strongest is cells[2]
    assert "a@auto (small): WRONG, error 0.1" in describe(caught)
    assert "b@auto (small): WRONG, error 0.9" in describe(caught)
    crashed = Outcome(mutant=MUTANTS[0], state=State.CRASHED, cells=cells[:1], tried=4)
    assert crashed.first is cells[0]
    assert crashed.strongest is None
