"""The cells of the matrix ``families``, for the pages that show them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.judging.combined import CombinedRecords, CombinedRow, number_of_patches
from harness.models.families.catalogue import FAMILIES
from harness.records.record import Cell
from harness.text import plural

#: The backend whose records the pages show: names are converted before a backend is used.
BACKEND = "cpu"


def family_cells(combined_records: CombinedRecords) -> Mapping[tuple[str, str, str, str], Cell]:
    """Return the cells of the model families by state, base model, case and mode."""
    found = {}
    for row in combined_records.rows:
        cell = _of_backend(row)
        if cell and row.base in FAMILIES:
            found[row.state, row.base, row.case, row.mode] = cell
    return found


def series_lines(combined_records: CombinedRecords, state: str) -> list[str]:
    """Return which base models were run with how many patches, if the series of a state grew between its runs."""
    found = number_of_patches(combined_records.side_records, state)
    if len(found) < 2:
        return []
    parts = [
        f"{plural(number, 'patch', 'patches')} with {', '.join(bases)}" for number, bases in found.items()
    ]
    return [f"The series grew between the runs: {'; '.join(parts)}.", ""]


def _of_backend(row: CombinedRow) -> Cell | None:
    return next((cell for column, cell in row.cells.items() if column.backend == BACKEND), None)
