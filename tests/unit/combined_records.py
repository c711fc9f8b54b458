"""Runs of two machines and their combined records, for the tests of combined records and of their reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.judging import combined
from harness.judging.combined import CombinedRecords
from harness.judging.expectation import Expectation
from harness.records.record import Cell, Records
from tests.unit.example_records import example


def machine(backend: str, device: str) -> Records:
    """Return the example's newest revision as a run of ``backend`` on ``device``, with the same pictures."""
    whole = example()
    sides, cells = {}, []
    for label, side in whole.sides.items():
        if side.revision == "2026-05":
            bases = {"flux-small": "ab" * 32}
            sides[label] = replace(side, backend=backend, device=device, driver="1.2", bases=bases)
    for cell in whole.cells:
        if cell.side in sides:
            dimensions = {**cell.dimensions, "backend": backend}
            cells.append(replace(cell, dimensions=dimensions, asked="0123456789ab"))
    run = replace(whole.run, started=f"2026-06-0{1 + len(backend) % 5}T12:00:00+00:00")
    return Records(
        run=run, sides=sides, cells=cells, pictures=whole.pictures, finished="2026-06-01T12:03:20+00:00"
    )


def combine_runs(*runs: Records, expected: tuple[Expectation, ...] = ()) -> CombinedRecords:
    """Return runs combined under the names 0.jsonl, 1.jsonl ..., judged by ``expected``."""
    return combined.combine([(Path(f"{n}.jsonl"), run) for n, run in enumerate(runs)], expected)


def with_cell(run: Records, case: str, mode: str, **changes: object) -> Records:
    """Change fields of the cells of "2026-05 patched" for a case in a mode, in ``run`` itself, and return ``run``."""

    def changed(cell: Cell) -> Cell:
        wanted = cell.side == "2026-05 patched" and (cell.case, cell.dimensions["mode"]) == (case, mode)
        return replace(cell, **changes) if wanted else cell  # type: ignore[arg-type]

    run.cells = [changed(cell) for cell in run.cells]
    return run


def with_side(run: Records, **changes: object) -> Records:
    """Change fields of all sides, in ``run`` itself, and return ``run``."""
    run.sides = {label: replace(side, **changes) for label, side in run.sides.items()}  # type: ignore[arg-type]
    return run
