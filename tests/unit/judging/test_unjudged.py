from __future__ import annotations

import pytest

from harness.judging.unjudged import base_failures, complaints, unexplained, unjudged
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from tests.unit.example_records import cell

CLOSED = "the base model flux does not open: no encoder"
DIMENSIONS = {"revision": "2026-05", "backend": "cpu", "base": "flux", "mode": "auto"}


def cells(side: str, *verdicts: Verdict, status: Status | None = None, failure: str = "") -> list[Cell]:
    """Return the cells of a side, one case for each verdict; ``status`` is that of the cells that do not pass."""
    return [
        cell(
            side=side,
            case=f"case-{number}",
            dimensions=DIMENSIONS,
            verdict=verdict,
            status=Status.PASS if verdict is Verdict.PASS else status or Status.UNEXPECTED,
            base_failure=failure,
        )
        for number, verdict in enumerate(verdicts)
    ]


PASSING = [Verdict.PASS] * 19


@pytest.mark.parametrize(
    "verdict", [Verdict.UNJUDGED, Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.MISDIRECTED]
)
def test_up_to_a_twentieth_of_a_side_may_be_unjudged(verdict: Verdict) -> None:
    assert complaints(cells("a", *PASSING, verdict)) == []
    assert complaints(cells("a", *PASSING[1:], verdict)) == ["1 of 19 cells on a is not judged, more than 5%"]


def test_a_few_unstable_cells_are_no_complaint() -> None:
    assert complaints(cells("a", *[Verdict.UNSTABLE] * 5, status=Status.SKIPPED)) == []
    many = cells("a", *[Verdict.PASS] * 94, *[Verdict.UNSTABLE] * 6, status=Status.SKIPPED)
    assert complaints(many) == ["6 of 100 cells on a are unstable, more than 5%"]
    assert complaints(many[:-1]) == []


def test_each_side_counts_by_itself() -> None:
    both = cells("a", *PASSING[:10], Verdict.UNJUDGED) + cells("b", *PASSING, *PASSING)
    assert complaints(both) == ["1 of 11 cells on a is not judged, more than 5%"]


def test_what_an_expectation_explains_does_not_count() -> None:
    known = cells("a", Verdict.PASS, Verdict.UNJUDGED, Verdict.UNSUPPORTED, status=Status.XFAIL)
    assert len(unjudged(known)) == 2
    assert unexplained(known) == []
    assert complaints(known) == []


def test_a_refusal_on_all_sides_of_a_revision_is_no_judgement() -> None:
    before, after = cells("a", Verdict.REFUSED), cells("b", Verdict.REFUSED)
    assert unjudged(before) == []
    assert unjudged([*before, *after]) == [*before, *after]
    assert unjudged([*before, *cells("b", Verdict.PASS)]) == []


def test_a_base_model_that_makes_no_picture_is_named_once_with_its_sides() -> None:
    failing = [
        one
        for side in ("a", "b")
        for one in cells(side, Verdict.REFUSED, Verdict.UNJUDGED, failure=CLOSED, status=Status.XFAIL)
    ]
    wanted = [f"on a, b, {CLOSED}"]
    assert base_failures(failing) == complaints(failing) == wanted, "an expectation does not excuse it"
    assert len(unjudged(failing)) == 4
    assert complaints([*failing, *cells("c", Verdict.UNJUDGED)]) == [
        *wanted,
        "1 of 1 cell on c is not judged, more than 5%",
    ]
