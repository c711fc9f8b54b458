from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.records.record import Writer
from harness.studies import promises
from tests.unit.example_records import example


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with small records and the real summaries."""
    (tmp_path / "families").mkdir()
    (tmp_path / "twins").mkdir()
    shutil.copy(promises.RESULTS / "twins" / "2025-12-cpu.jsonl.gz", tmp_path / "twins")
    for name in (
        "names",
        "coverage",
        "mutants",
        "benchmark",
        "converters",
        "trainers",
        "real-models",
        "cost",
    ):
        shutil.copy(promises.RESULTS / f"{name}.json", tmp_path)
    records = example()
    with Writer(tmp_path / "a-cpu.jsonl") as writer:
        writer.run(records.run)
        for side in records.sides.values():
            writer.side(side)
        for cell in records.cells:
            writer.cell(cell)
    return tmp_path
