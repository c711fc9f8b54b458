"""The cells of the matrix ``families``, for the pages that show them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.judging.combined import CombinedRecords, CombinedRow
from harness.models.families.catalogue import FAMILIES
from harness.records.record import Cell

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


def _of_backend(row: CombinedRow) -> Cell | None:
    return next((cell for column, cell in row.cells.items() if column.backend == BACKEND), None)
