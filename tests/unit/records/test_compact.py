from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.judging import combined
from harness.records import compact, record
from harness.records.record import Records
from tests.unit.combined_records import combine_runs


def test_a_compact_file_says_the_same(cpu_run: Records, cuda_run: Records, tmp_path: Path) -> None:
    paths = [tmp_path / "cpu.jsonl", tmp_path / "cuda.jsonl"]
    for path, run in zip(paths, (cpu_run, cuda_run), strict=True):
        compact.write([run], path)
    whole, small = combine_runs(cpu_run, cuda_run), combined.combine(combined.read(paths), ())
    assert small.compared == whole.compared
    assert [row.label for row in small.rows] == [row.label for row in whole.rows]
    assert [{column: cell.verdict for column, cell in row.cells.items()} for row in small.rows] == [
        {column: cell.verdict for column, cell in row.cells.items()} for row in whole.rows
    ]
    mixed = combined.combine([(paths[0], record.read(paths[0])), (Path("whole"), cuda_run)], ())
    assert mixed.compared == whole.compared
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    assert max(len(line) for line in lines if '"picture"' in line[:20]) < 2000
    kept = [json.loads(line) for line in lines if line.startswith('{"record":"cell"')]
    assert all("memory" not in cell and "why" not in cell for cell in kept)


def test_a_sample_keeps_every_fourth_pixel() -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    small = compact.sample(pixels)
    assert small.shape == (4, 4, 3)
    assert np.array_equal(small[1, 2], pixels[4, 8])
