"""The figures of docs/promises.md are those of the records."""

from __future__ import annotations

import json
from pathlib import Path

from harness.records import record
from harness.records.verdict import Status, Verdict
from harness.studies import promises
from harness.studies.conversion import twins
from tests.unit.example_records import example


def area(text: str, name: str) -> str:
    """Return the part of the page about one area."""
    return text.partition(f"## {name}\n")[2].partition("\n## ")[0]


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


def test_a_trainers_file_that_fails_and_an_inexact_conversion_break_the_promise(results: Path) -> None:
    path = results / "trainers.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    count = len(content["outcomes"])
    for outcome in content["outcomes"]:
        outcome["verdicts"], outcome["converter"] = {"immediately": "PASS", "at_runtime": "PASS"}, 1e-9
    path.write_text(json.dumps(content), encoding="utf-8")
    shown = area(promises.text(results), "Adapters that trainers write")
    assert f"| {count} of {count} files pass |" in shown
    assert f"| {count} of {count} files, largest relative error 1.0e-09 |" in shown
    content["outcomes"][0] |= {"verdicts": {"immediately": "PASS", "at_runtime": "WRONG"}, "converter": 1e-3}
    path.write_text(json.dumps(content), encoding="utf-8")
    shown = area(promises.text(results), "Adapters that trainers write")
    assert f"| **{count - 1} of {count} files pass** |" in shown
    assert f"| **{count - 1} of {count} files, largest relative error 1.0e-03** |" in shown


def test_a_model_of_real_size_keeps_the_promise_if_all_modes_pass_with_the_patches(results: Path) -> None:
    path = results / "real-models.json"
    content = [entry for entry in json.loads(path.read_text(encoding="utf-8")) if entry["patched"]][:1]
    for verdict, shown in (
        ("PASS", "| 2 of 2 apply modes pass |"),
        ("WRONG", "| **1 of 2 apply modes pass** |"),
    ):
        content[0]["verdicts"] = {"immediately": "PASS", "at_runtime": verdict}
        unpatched = {**content[0], "patched": False, "verdicts": {"immediately": "ABORT"}}
        path.write_text(json.dumps([*content, unpatched]), encoding="utf-8")
        found = area(promises.text(results), "Models of real size")
        assert shown in found
        assert "0 of 1" not in found


def test_files_for_libraries_without_patches_are_counted_without_those_that_cannot_help(
    results: Path,
) -> None:
    [path] = (results / "twins").iterdir()
    cells = record.read(path).cells
    ran = [cell for cell in cells if not twins.reason(cell)]
    passed = [cell for cell in ran if cell.verdict is Verdict.PASS]
    found = area(promises.text(results), "Files for libraries without patches")
    assert f"{len(passed)} of {len(ran)} files pass" in found
