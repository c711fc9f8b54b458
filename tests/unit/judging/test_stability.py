from __future__ import annotations

import numpy as np
import pytest

from harness.judging.expectation import Expectation
from harness.judging.stability import by_nature, difference, suspicious, unstable
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from tests.unit.example_records import cell

PASS, WRONG, ABORT = Verdict.PASS, Verdict.WRONG, Verdict.ABORT
PICTURES = {
    name: np.full((2, 2, 3), grey, np.uint8)
    for name, grey in (("a", 100), ("b", 101), ("c", 110), ("d", 111))
}
#: A case whose pictures may differ by 0.8 grey levels.
WITHIN = {"effect": 20.0, "tolerance": 0.04}
ENTRY = Expectation(revisions=["x"], verdicts=[PASS, WRONG], reason="memory")


def run(verdict: Verdict, picture: str = "", **fields: object) -> Cell:
    """Return the judgement of one run of a case, with the name of its picture."""
    return cell(verdict=verdict, pictures={"got": picture} if picture else {}, **fields)


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([run(PASS, "a"), run(PASS, "a")], ""),
        ([run(ABORT), run(ABORT), run(ABORT)], ""),
        ([run(PASS, "a"), run(ABORT)], "PASS in 1, ABORT in 1"),
        ([run(ABORT), run(ABORT), run(ABORT), run(PASS, "a")], "ABORT in 3, PASS in 1"),
        # Without a tolerance every byte counts.
        ([run(WRONG, "a"), run(WRONG, "b")], "WRONG in 2, 2 different pictures"),
        # The rounding of a device is no difference, as long as the case tolerates it.
        ([run(WRONG, "a", tolerance=0.06, effect=20.0), run(WRONG, "b", tolerance=0.06)], ""),
        ([run(WRONG, "a", **WITHIN), run(WRONG, "b", **WITHIN)], "WRONG in 2, 2 different pictures"),
        ([run(PASS, "c", tolerance=0.06, effect=20.0), run(WRONG, "d")], "PASS in 1, WRONG in 1, 2"),
    ],
)
def test_runs_of_one_build_differ_in_verdict_or_picture(runs: list[Cell], wanted: str) -> None:
    said = difference(runs[0], runs[1:], PICTURES)
    assert said.startswith(f"{len(runs)} runs of the same build differ: {wanted}" if wanted else "")
    assert bool(said) == bool(wanted)


def test_one_run_does_not_differ() -> None:
    assert difference(run(WRONG, "a"), [], PICTURES) == ""


def test_an_unstable_cell_is_expected_where_several_verdicts_are() -> None:
    one = run(WRONG, "a", status=Status.UNEXPECTED)
    found = unstable(one, "why", ENTRY)
    assert (found.verdict, found.status, found.reason, found.evidence) == (
        Verdict.UNSTABLE,
        Status.XFAIL,
        "memory",
        "why",
    )
    single = Expectation(revisions=["x"], verdicts=[WRONG], reason="always")
    for entry in (None, single):
        found = unstable(one, "why", entry)
        assert (found.status, found.reason) == (Status.SKIPPED, "")


@pytest.mark.parametrize(
    ("before", "after", "plain", "proposed"),
    [
        (PASS, WRONG, True, True),
        (WRONG, ABORT, True, True),
        (WRONG, PASS, False, True),
        (ABORT, WRONG, False, True),
        (WRONG, WRONG, False, False),
        (PASS, Verdict.UNSTABLE, False, False),
    ],
)
def test_what_may_be_an_accident(before: Verdict, after: Verdict, *, plain: bool, proposed: bool) -> None:
    assert suspicious(run(before), run(after), proposed=False) is plain
    assert suspicious(run(before), run(after), proposed=True) is proposed


def test_an_expectation_of_both_verdicts_on_both_sides_makes_a_change_unstable() -> None:
    before, after = run(PASS), run(WRONG)
    found = by_nature(before, after, (ENTRY, ENTRY))
    assert (found.verdict, found.status) == (Verdict.UNSTABLE, Status.XFAIL)
    assert found.evidence == "PASS before, WRONG after; both occur on one build, as the expectation says"
    assert by_nature(before, after, (ENTRY, None)) is after
    assert by_nature(before, run(ABORT), (ENTRY, ENTRY)).verdict is ABORT
