"""The table that all reports start from: rows, columns and labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.reports.table import ReportTable, arrange
from tests.unit.example_records import EXTENSION, QUANTISED, cell, example, records_of


@pytest.fixture(scope="module")
def good_table() -> ReportTable:
    """Return the table of a run in which everything is as expected."""
    return arrange(example())


def test_rows_of_two_revisions_meet_although_their_base_models_differ(good_table: ReportTable) -> None:
    assert [row.label for row in good_table.rows][:5] == [
        "none",
        "safetensors-F32",
        "safetensors-F16",
        "ckpt-F16",
        "gguf-F32",
    ]
    assert [row.label for row in good_table.rows] == list(
        dict.fromkeys(c.case for c in good_table.records.cells)
    )
    assert all(len(row.cells) == 12 for row in good_table.rows)
    assert sum(len(row.cells) for row in good_table.rows) == len(good_table.records.cells)


def test_columns_are_sides_by_modes_in_order(good_table: ReportTable) -> None:
    assert [column.key for column in good_table.columns][2:5] == [
        ("2025-12 pristine", "auto"),
        ("2025-12 patched", "immediately"),
        ("2025-12 patched", "at_runtime"),
    ]
    assert good_table.constant == {"backend": "cpu"}


def test_cells_that_no_dimension_tells_apart_have_a_row_for_each_case() -> None:
    twins = [cell(case=name, dimensions={"mode": "auto", "type": "F16"}) for name in ("first", "second")]
    assert [row.label for row in arrange(records_of(*twins)).rows] == ["first", "second"]


def test_a_case_on_several_base_models_has_a_row_for_each() -> None:
    cells = [
        cell(side=f"2026-05 {side}", case=name, dimensions={"mode": "auto", "base": base})
        for side in ("pristine", "patched")
        for name, base in (("gguf-F16", "flux-small"), ("gguf-F16", "sd1-tiny"), ("peft", "sd1-tiny"))
    ]
    table = arrange(records_of(*cells))
    assert [row.label for row in table.rows] == ["gguf-F16 (flux-small)", "gguf-F16 (sd1-tiny)", "peft"]
    assert all(len(row.cells) == 2 for row in table.rows)


def test_a_cell_of_an_unknown_side_is_shown(good_table: ReportTable) -> None:
    table = arrange(records_of(replace(good_table.records.cells[0], side="nobody")))
    assert table.sides[-1].label == "nobody"
    assert sum(len(row.cells) for row in table.rows) == 1


def test_many_rows_are_named_by_what_sets_them_apart(good_table: ReportTable) -> None:
    gguf = [row for row in good_table.rows if row.values["container"] == "gguf"]
    assert good_table.names(gguf[:3]) == "gguf-F32, gguf-F16, gguf-BF16"
    assert good_table.names(gguf, limit=2).startswith(
        "10 cases: container gguf; type F32, F16, BF16, Q8_0, Q6_K, Q5_0"
    )
    assert good_table.names(good_table.rows, limit=2) == "14 cases: of all kinds"


def test_expected_failures_are_grouped_by_reason(good_table: ReportTable) -> None:
    failures = good_table.expected_failures
    assert {reason: len(cells) for reason, cells in failures.items()} == {EXTENSION: 27, QUANTISED: 6}
    assert good_table.describe(failures[QUANTISED]) == (
        "2026-05 pristine: gguf-Q8_0, gguf-Q6_K, gguf-Q5_0, gguf-Q4_K, gguf-Q4_0, gguf-Q2_K (immediately)"
    )
