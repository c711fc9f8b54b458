"""Cells and records of mutants, for tests."""

from __future__ import annotations

from harness.records.record import Cell, Records, Run
from harness.records.verdict import Status, Verdict


def cell(case: str, verdict: Verdict, error: float | None = None, mode: str = "auto") -> Cell:
    return Cell(
        side="x",
        case=case,
        dimensions={"mode": mode, "base": "small"},
        verdict=verdict,
        status=Status.UNEXPECTED,
        error=error,
        tolerance=0.04 if error is not None else None,
    )


def records(*cells: Cell) -> Records:
    run = Run(plan="", title="", command="", machine={}, started="", project="")
    return Records(run=run, cells=list(cells), finished="2026-01-02T03:04:05+00:00")
