from __future__ import annotations

import pytest

from harness.records.verdict import Status, Verdict
from harness.reports import before_after
from harness.reports.headline import good, headline
from harness.reports.table import ReportTable, arrange
from tests.unit.example_records import cell, example, records_of


@pytest.fixture(scope="module")
def good_table() -> ReportTable:
    """Return the table of a run in which everything is as expected."""
    return arrange(example())


@pytest.fixture(scope="module")
def broken_table() -> ReportTable:
    """Return the table of a run with unexpected results."""
    return arrange(example(broken=True))


def test_the_headline_has_the_counts_that_matter(good_table: ReportTable, broken_table: ReportTable) -> None:
    assert headline(good_table, before_after.pairs(good_table)) == (
        "As expected: 135 of 168 cells passed, 33 failed as expected; the patches fix 33 cells and break none"
    )
    assert headline(broken_table, before_after.pairs(broken_table)) == (
        "3 of 168 cells failed unexpectedly (1 WRONG, 1 TIMEOUT, 1 ABORT), "
        "1 cell passed although a failure was expected, 33 failed as expected, 1 not judged; "
        "the patches fix 32 cells and break 3"
    )


def test_patches_that_change_no_verdict_fix_no_cell() -> None:
    table = arrange(
        records_of(
            *(cell(side=f"2026-05 {name}", dimensions={"mode": "auto"}) for name in ("pristine", "patched"))
        )
    )
    assert headline(table, before_after.pairs(table)) == (
        "As expected: 2 of 2 cells passed; the patches fix no cell and break none"
    )


def test_what_is_not_judged_stands_in_the_headline_with_its_number() -> None:
    passing = [cell(case=f"good-{number}") for number in range(40)]
    unknown = cell(case="a", verdict=Verdict.UNJUDGED, status=Status.UNEXPECTED)
    known = cell(case="b", verdict=Verdict.UNSUPPORTED, status=Status.XFAIL, reason="no reader")
    device = cell(case="c", verdict=Verdict.UNSUPPORTED, status=Status.SKIPPED)
    assert headline(arrange(records_of(*passing, unknown)), []) == ("40 of 41 cells passed, 1 not judged")
    assert not good(arrange(records_of(*passing, unknown)))
    assert headline(arrange(records_of(*passing, known, device)), []) == (
        "As expected: 40 of 42 cells passed, 2 not judged (1 of them as expected)"
    )
    assert good(arrange(records_of(*passing, known, device)))
    assert headline(arrange(records_of(*passing[:2], device)), []) == (
        "The run cannot be judged: 1 of 3 cells on 2026-05 patched is not judged, more than 5%; "
        "2 of 3 cells passed, 1 not judged"
    )
    assert not good(arrange(records_of(*passing[:2], device)))


def test_a_base_model_that_does_not_open_stands_first_in_the_headline() -> None:
    failure = "the base model flux-small does not open: no encoder"
    none = cell(case="none", verdict=Verdict.REFUSED, status=Status.UNEXPECTED, base_failure=failure)
    other = cell(case="b", verdict=Verdict.UNJUDGED, status=Status.UNEXPECTED, base_failure=failure)
    assert headline(arrange(records_of(none, other)), []) == (
        "The run cannot be judged: on 2026-05 patched, the base model flux-small does not open: no encoder; "
        "1 of 2 cells failed unexpectedly (1 REFUSED), 1 not judged"
    )


def test_nothing_tried_and_not_finished_are_never_good() -> None:
    idle = cell(verdict=Verdict.SKIPPED, status=Status.SKIPPED)
    assert headline(arrange(records_of(idle)), []).startswith("No case was tested")
    assert headline(arrange(records_of()), []).startswith("No case was tested")
    assert headline(arrange(records_of(cell(), finished="")), []) == (
        "Incomplete run, so far: as expected: 1 of 1 cell passed"
    )


def test_unstable_cells_have_a_number_of_their_own() -> None:
    passing = [cell(case=f"good-{number}") for number in range(2)]
    shaky = cell(case="a", verdict=Verdict.UNSTABLE, status=Status.SKIPPED)
    known = cell(case="b", verdict=Verdict.UNSTABLE, status=Status.XFAIL, reason="memory")
    table = arrange(records_of(*passing, shaky, known))
    assert headline(table, []) == "As expected: 2 of 4 cells passed, 2 unstable (1 of them as expected)"
    assert good(table)
    assert headline(arrange(records_of(shaky)), []) == "As expected: 0 of 1 cell passed, 1 unstable"
