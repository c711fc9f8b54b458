from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.studies.coverage.measurement import Share, add, read
from tests.unit.studies.coverage.example import LINES, line, measurement


def test_lines_and_branches_are_counted_by_part_and_function() -> None:
    found = measurement()
    assert found.lines("apply") == Share(run=2, total=3)
    assert found.branches("apply") == Share(run=1, total=2)
    assert found.lines("rest") == Share(run=0, total=1)
    assert [entry.function for entry in found.functions] == ["LoraModel::apply", "LoraModel::rank"]


def test_lines_that_never_run_are_apart_from_those_with_a_branch_that_is_never_taken() -> None:
    found = measurement()
    assert [(entry.part, entry.number) for entry in found.missed] == [("apply", 2), ("rest", 9)]
    [partly] = found.partly
    assert (partly.number, partly.untaken, partly.branches) == (1, 1, 2)


def test_a_line_of_no_part_does_not_count() -> None:
    other = replace(LINES[0], file="src/upscaler.cpp")
    assert measurement(lines=[*LINES, other]) == measurement()


def test_all_of_nothing_has_run() -> None:
    assert Share().percent == 100
    assert (Share(run=1, total=4) + Share(run=2, total=2)).percent == 50


def test_a_measurement_is_read_as_it_was_written_and_replaces_the_one_of_its_label(tmp_path: Path) -> None:
    path = tmp_path / "coverage.json"
    old, other = measurement(), measurement("2026-07 patched")
    assert add([other, old], path) == [old, other]
    assert read(path) == [old, other]
    new = measurement(lines=[line(3, "return true;", "LoraModel::apply", 1)])
    assert add([new], path) == [new, other] == read(path)
