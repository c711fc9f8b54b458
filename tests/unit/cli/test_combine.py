from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.records import compact
from harness.records.record import Records
from harness.records.verdict import Verdict
from sdcpp.errors import NotComparable
from tests.unit.combined_records import with_cell, with_side


def test_the_command_exits_by_what_it_found(
    cpu_run: Records, cuda_run: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side = cpu_run.sides["2026-05 patched"]
    cpu_run.sides, cuda_run.sides = {side.label: side}, {side.label: cuda_run.sides[side.label]}
    paths = [str(tmp_path / name) for name in ("cpu.jsonl", "cuda.jsonl")]

    def run() -> int:
        for path, records in zip(paths, (cpu_run, cuda_run), strict=True):
            compact.write([records], Path(path))
        return main(["combine", *paths, "--output", str(tmp_path / "out")])

    for records in (cpu_run, cuda_run):  # of quantised types the project's own expectations speak
        records.cells = [c for c in records.cells if c.side == side.label and "-Q" not in c.case]
    assert run() == 0
    assert (tmp_path / "out" / "merged.html").stat().st_size > 1000
    with_cell(cuda_run, "gguf-F32", "auto", verdict=Verdict.WRONG)
    assert run() == 1
    with_side(cuda_run, bases={"flux-small": "cd" * 32})
    assert run() == NotComparable.exit_code == 61
    assert "base model flux-small" in " ".join(capsys.readouterr().err.split())
