from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records.change import ChangeKind
from harness.records.verdict import Status, Verdict
from harness.reports import before_after
from harness.reports.headline import headline
from harness.reports.table import ReportTable, arrange
from tests.unit.example_records import example


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
    assert "patches" not in headline(table, before_after.pairs(table))


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


def test_unstable_cells_are_neither_fixed_nor_regressed_nor_lost() -> None:
    found = example()
    after = [cell for cell in found.cells if cell.side == "2026-05 patched" and cell.verdict is Verdict.PASS][
        :2
    ]
    before = [cell for cell in found.cells if cell.side == "2026-05 pristine"]
    for number, cell in enumerate(found.cells):
        both = cell in after or (cell.case, cell.dimensions) == (after[0].case, after[0].dimensions)
        if both:
            found.cells[number] = replace(cell, verdict=Verdict.UNSTABLE, status=Status.SKIPPED)
    table = arrange(found)
    pair = next(pair for pair in before_after.pairs(table) if pair.label == "2026-05")
    changes = before_after.changes(table, pair)
    assert "0 regressed, 2 unstable (1 of them only after the change), " in before_after.tally(changes)
    whole = sum(cell.verdict is Verdict.PASS for cell in before)
    assert f"{whole - 2} of {whole - 2} cells that passed still pass" in before_after.still_passing(changes)
    assert all(change.tried for change in changes if change.kind is ChangeKind.UNSTABLE)
