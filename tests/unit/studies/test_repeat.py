from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.records.verdict import Verdict
from harness.studies.repeat import differences, rounds
from sdcpp.binding.build_folder import Build
from tests.unit import killable_run

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_rounds_with_one_worker_and_with_two_agree(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    builds = [killable_run.build_under_test(fake_build("C"))]
    run = list(rounds(builds, tmp_path, jobs=(1, 2), times=2, command="none"))
    assert [r.name for r in run[1:]] == ["round 2 (1 worker)", "round 3 (2 workers)", "round 4 (2 workers)"]
    assert run[0].records.observations
    assert not [line for r in run for line in differences(run[0].records, r.records)]
    before = {path: path.read_bytes() for path in tmp_path.rglob("records.jsonl")}
    again = list(rounds(builds, tmp_path, jobs=(1, 2), times=2, command="none"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("records.jsonl")} == before
    assert [r.records.cells for r in again] == [r.records.cells for r in run]


def test_a_different_picture_or_verdict_is_a_difference(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    records = killable_run.run(tmp_path, fake_build("C"))
    key, seen = next(iter(records.observations.items()))
    other = replace(records, observations={**records.observations, key: replace(seen, picture="f" * 64)})
    assert [line.partition(":")[0] for line in differences(records, other)] == [key[1]]
    other = replace(records, cells=[replace(records.cells[0], verdict=Verdict.ABORT), *records.cells[1:]])
    assert [line.rpartition(", then ")[2] for line in differences(records, other)] == ["ABORT"]
    other = replace(records, observations={}, cells=[])
    assert len(list(differences(records, other))) == len(records.observations) + len(records.cells)
