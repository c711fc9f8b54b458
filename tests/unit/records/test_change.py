from __future__ import annotations

import pytest

from harness.records.change import ChangeKind, change_kind
from harness.records.verdict import Verdict
from tests.unit.example_records import cell

PASS, WRONG, ABORT, REFUSED = Verdict.PASS, Verdict.WRONG, Verdict.ABORT, Verdict.REFUSED
UNJUDGED = Verdict.UNJUDGED


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (PASS, PASS, ChangeKind.UNCHANGED),
        (WRONG, WRONG, ChangeKind.UNCHANGED),
        (WRONG, PASS, ChangeKind.FIXED),
        (ABORT, WRONG, ChangeKind.CHANGED),
        (PASS, WRONG, ChangeKind.REGRESSED),
        (WRONG, ABORT, ChangeKind.REGRESSED),
        # Judged before and not judged after.
        (PASS, UNJUDGED, ChangeKind.REGRESSED),
        (WRONG, UNJUDGED, ChangeKind.REGRESSED),
        (REFUSED, Verdict.UNSUPPORTED, ChangeKind.REGRESSED),
        (ABORT, UNJUDGED, ChangeKind.NOT_JUDGED),
        # Not judged on either side.
        (UNJUDGED, UNJUDGED, ChangeKind.NOT_JUDGED),
        (UNJUDGED, Verdict.MISDIRECTED, ChangeKind.NOT_JUDGED),
        (Verdict.SKIPPED, Verdict.SKIPPED, ChangeKind.NOT_JUDGED),
        # What is not the same each time is neither regressed nor fixed.
        (PASS, Verdict.UNSTABLE, ChangeKind.UNSTABLE),
        (Verdict.UNSTABLE, ABORT, ChangeKind.UNSTABLE),
        (Verdict.UNSTABLE, PASS, ChangeKind.UNSTABLE),
        (REFUSED, REFUSED, ChangeKind.NOT_JUDGED),
        # Judged after and not before: never fixed.
        (UNJUDGED, PASS, ChangeKind.JUDGED_NOW),
        (UNJUDGED, WRONG, ChangeKind.JUDGED_NOW),
        (Verdict.UNSUPPORTED, ABORT, ChangeKind.JUDGED_NOW),
    ],
)
def test_the_kind_of_a_change(before: Verdict, after: Verdict, wanted: ChangeKind) -> None:
    assert change_kind(cell(verdict=before), cell(verdict=after)) is wanted


def test_a_case_on_one_side_only_is_no_change() -> None:
    assert change_kind(None, cell()) is change_kind(cell(), None) is ChangeKind.ONE_SIDE


def test_a_picture_that_was_not_judged_and_is_now_a_crash_is_a_regression() -> None:
    before = cell(verdict=UNJUDGED, pictures={"got": "a picture"})
    assert change_kind(before, cell(verdict=ABORT)) is ChangeKind.REGRESSED
    assert change_kind(before, cell(verdict=WRONG)) is ChangeKind.JUDGED_NOW


def test_a_base_model_that_works_on_neither_side_leaves_its_own_case_without_judgement() -> None:
    failing = cell(verdict=ABORT, base_failure="the base model does not open")
    assert change_kind(failing, failing) is ChangeKind.NOT_JUDGED
    assert change_kind(failing, cell(verdict=REFUSED, base_failure="nor now")) is ChangeKind.NOT_JUDGED
    assert change_kind(failing, cell(verdict=PASS)) is ChangeKind.FIXED
    assert change_kind(cell(verdict=PASS), failing) is ChangeKind.REGRESSED
