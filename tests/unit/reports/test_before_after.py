from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records.verdict import Status, Verdict
from harness.reports import before_after
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


def test_changes_between_pristine_and_patched(broken_table: ReportTable) -> None:
    first, second = before_after.pairs(broken_table)
    assert (first.label, second.label) == ("2025-12", "2026-05")
    assert (
        before_after.tally(before_after.changes(broken_table, first)) == "27 fixed, 0 regressed, 15 unchanged"
    )
    assert before_after.tally(before_after.changes(broken_table, second)) == (
        "5 fixed, 3 regressed (1 of them not judged any more), 1 changed otherwise, 33 unchanged"
    )
    counts = before_after.count_by_value(before_after.changes(broken_table, second), "type")
    assert counts["Q4_0"] == {("ABORT", "WRONG"): 1, ("PASS", "PASS"): 2}
    assert before_after.unpaired_sides(broken_table, [first]) == [
        broken_table.sides[2],
        broken_table.sides[3],
    ]


def test_one_build_on_both_sides_is_said() -> None:
    found = example()
    for label, build in list(found.sides.items()):
        found.sides[label] = replace(build, identity="one")
    table = arrange(found)
    assert (
        before_after.summary(table, before_after.pairs(table)[1])
        == "no patch applies, so both sides are the same build"
    )
    assert "patches" not in before_after.headline(table, before_after.pairs(table))


def test_different_pixels_under_the_same_verdict_are_counted() -> None:
    found = example()
    at = next(i for i, c in enumerate(found.cells) if c.side == "2026-05 patched" and c.case == "ckpt-F16")
    found.cells[at] = replace(found.cells[at], pictures={**found.cells[at].pictures, "got": "another"})
    table = arrange(found)
    assert "36 unchanged (1 of them with different pixels)" in before_after.tally(
        before_after.changes(table, before_after.pairs(table)[1])
    )


def test_quiet_rows_are_merged_and_the_worst_come_first(broken_table: ReportTable) -> None:
    pair = before_after.pairs(broken_table)[1]
    lines = before_after.summary_rows(broken_table, (pair.before, pair.after), merge_all=False)
    by_label = {line.label: line.texts for line in lines}
    assert by_label["gguf-Q4_0"] == ("ABORT -> WRONG 0.79", "PASS 0.004", "PASS 0.004")
    assert by_label["gguf-BF16"][2] == "PASS -> ABORT"
    assert lines[-1].label == (
        "none, safetensors-F32, safetensors-F16, ckpt-F16, gguf-F32, gguf-F16, gguf-F16-times-0"
    )
    assert lines[-1].texts == ("PASS 0.003", "PASS 0.004", "PASS 0.004")
    assert {line.severity for line in lines[:3]} == {0}


def test_the_headline_has_the_counts_that_matter(good_table: ReportTable, broken_table: ReportTable) -> None:
    assert before_after.headline(good_table, before_after.pairs(good_table)) == (
        "As expected: 135 of 168 cells passed, 33 failed as expected; the patches fix 33 cells and break none"
    )
    assert before_after.headline(broken_table, before_after.pairs(broken_table)) == (
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
    assert before_after.headline(table, before_after.pairs(table)) == (
        "As expected: 2 of 2 cells passed; the patches fix no cell and break none"
    )


def test_what_is_not_judged_stands_in_the_headline_with_its_number() -> None:
    passing = [cell(case=f"good-{number}") for number in range(40)]
    unknown = cell(case="a", verdict=Verdict.UNJUDGED, status=Status.UNEXPECTED)
    known = cell(case="b", verdict=Verdict.UNSUPPORTED, status=Status.XFAIL, reason="no reader")
    device = cell(case="c", verdict=Verdict.UNSUPPORTED, status=Status.SKIPPED)
    assert before_after.headline(arrange(records_of(*passing, unknown)), []) == (
        "40 of 41 cells passed, 1 not judged"
    )
    assert not before_after.good(arrange(records_of(*passing, unknown)))
    assert before_after.headline(arrange(records_of(*passing, known, device)), []) == (
        "As expected: 40 of 42 cells passed, 2 not judged (1 of them as expected)"
    )
    assert before_after.good(arrange(records_of(*passing, known, device)))
    assert before_after.headline(arrange(records_of(*passing[:2], device)), []) == (
        "The run cannot be judged: 1 of 3 cells on 2026-05 patched is not judged, more than 5%; "
        "2 of 3 cells passed, 1 not judged"
    )
    assert not before_after.good(arrange(records_of(*passing[:2], device)))


def test_a_base_model_that_does_not_open_stands_first_in_the_headline() -> None:
    failure = "the base model flux-small does not open: no encoder"
    none = cell(case="none", verdict=Verdict.REFUSED, status=Status.UNEXPECTED, base_failure=failure)
    other = cell(case="b", verdict=Verdict.UNJUDGED, status=Status.UNEXPECTED, base_failure=failure)
    assert before_after.headline(arrange(records_of(none, other)), []) == (
        "The run cannot be judged: on 2026-05 patched, the base model flux-small does not open: no encoder; "
        "1 of 2 cells failed unexpectedly (1 REFUSED), 1 not judged"
    )


def test_nothing_tried_and_not_finished_are_never_good() -> None:
    idle = cell(verdict=Verdict.SKIPPED, status=Status.SKIPPED)
    assert before_after.headline(arrange(records_of(idle)), []).startswith("No case was tested")
    assert before_after.headline(arrange(records_of()), []).startswith("No case was tested")
    assert before_after.headline(arrange(records_of(cell(), finished="")), []) == (
        "Incomplete run, so far: as expected: 1 of 1 cell passed"
    )
