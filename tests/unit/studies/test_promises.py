"""docs/promises.md: every figure is that of the records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.records.record import Writer
from harness.records.verdict import Status, Verdict
from harness.studies import promises
from sdcpp import project
from tests.unit.example_records import example


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with small records and the real summaries."""
    (tmp_path / "families").mkdir()
    for name in ("names", "coverage", "mutants", "benchmark"):
        shutil.copy(promises.RESULTS / f"{name}.json", tmp_path)
    records = example()
    with Writer(tmp_path / "a-cpu.jsonl") as writer:
        writer.run(records.run)
        for side in records.sides.values():
            writer.side(side)
        for cell in records.cells:
            writer.cell(cell)
    return tmp_path


def test_the_page_is_that_of_the_records() -> None:
    page = (project.ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    assert page == promises.text(), f"run {promises.COMMAND}"


def test_the_cells_of_patched_sides_are_counted(results: Path) -> None:
    first, *_ = promises.promises(results)
    records = example()
    patched = [side for side in records.sides.values() if side.patched]
    assert len(first.figures) == len(patched) > 0
    for side in patched:
        cells = [cell for cell in records.cells if cell.side == side.label]
        passed = sum(cell.verdict is Verdict.PASS for cell in cells)
        unexpected = sum(cell.status in (Status.UNEXPECTED, Status.XPASS) for cell in cells)
        [figure] = [
            one for one in first.figures if one.subject.startswith(f"{side.revision}, {side.backend} ")
        ]
        assert figure.text.startswith(f"{passed} of {len(cells)} cells pass, ")
        assert figure.text.endswith(f"{unexpected} unexpected")
        assert figure.kept is (unexpected == 0)
        assert figure.command == records.run.command


@pytest.mark.parametrize(("seconds", "shown"), [(10.0, "**1.0 times**"), (200.0, "| 20.0 times |")])
def test_a_broken_promise_is_bold(seconds: float, shown: str, results: Path) -> None:
    path = results / "benchmark.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["rounds"] = [{"harness": 10.0, "program": seconds}]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert shown in promises.text(results).partition("## Speed")[2]


def test_the_command_prints_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "promises"]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = [figure for promise in promises.promises(promises.RESULTS) for figure in promise.figures]
    assert sum(line.startswith(("  kept ", "  not kept ")) for line in lines) == len(figures)
