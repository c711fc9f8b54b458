from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.studies import promises
from tests.unit.example_records import example, write_records


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
    write_records(example(), tmp_path / "a-cpu.jsonl")
    return tmp_path
