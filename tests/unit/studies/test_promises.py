"""docs/promises.md: every figure is that of the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.studies import promises
from sdcpp import project


def test_the_page_is_that_of_the_records() -> None:
    page = (project.ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    assert page == promises.text(), f"run {promises.COMMAND}"


def test_the_page_begins_with_the_areas_and_how_many_figures_keep_each_promise(results: Path) -> None:
    page = promises.text(results)
    found = promises.promises(results)
    for promise in found:
        kept, count = sum(figure.kept for figure in promise.figures), len(promise.figures)
        shown = f"{kept} of {count}" if kept == count else f"**{kept} of {count}**"
        [line] = [line for line in page.splitlines() if line.startswith(f"| [{promise.area}](#")]
        assert line.endswith(f" | {shown} |")
    assert page.index("| area |") < page.index("\n## ")
    assert {promise.area for promise in found if all(figure.kept for figure in promise.figures)} < {
        promise.area for promise in found
    }


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (10.0, "| **1 times (goal: at least 10 times)** |"),
        (200.0, "| 20 times (goal: at least 10 times) |"),
    ],
)
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
