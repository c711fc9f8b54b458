from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.applying import study
from harness.studies.applying.peer import PeerCost
from harness.studies.applying.study import ApplyStudy
from sdcpp.errors import NothingTried
from tests.unit.studies.applying.examples import COST, STUDY

PEER = PeerCost(rank=4, load=1, fuse=2, unfuse=3, away=4, plain=5, with_adapter=6, memory=7)


def test_a_written_study_is_read_back(tmp_path: Path) -> None:
    studies = [STUDY, replace(STUDY, peers=[PEER], load=3.5)]
    study.write(studies, tmp_path / "cost.json")
    assert study.read(tmp_path / "cost.json") == [replace(STUDY, peers=[]), studies[1]]


def test_without_a_record_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="no measurement is recorded") as raised:
        study.read(tmp_path / "cost.json")
    assert "sdcpp bench --apply --write-docs" in str(raised.value)


def test_a_study_replaces_the_one_of_the_same_question(tmp_path: Path) -> None:
    path = tmp_path / "results" / "cost.json"
    other = replace(STUDY, backend="cpu", device="a processor")
    study.add(STUDY, path)
    study.add(other, path)
    newer = replace(STUDY, date="2027-01-01", peers=[])
    assert study.add(newer, path) == [replace(other, peers=[]), newer]
    assert study.read(path) == [replace(other, peers=[]), newer]


def test_a_study_replaces_that_of_another_machine_only_if_that_was_busy(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    newer = replace(STUDY, device="another card", revision="2026-08", peers=[])
    study.add(STUDY, path)
    assert study.add(newer, path) == [replace(STUDY, peers=[]), newer]
    study.write([replace(STUDY, load=100.0), replace(STUDY, load=100.0, base="flux")], path)
    assert [found.base for found in study.add(newer, path)] == ["flux", "sd1"]


def test_steps_without_an_adapter_show_whether_other_work_disturbed_a_measurement() -> None:
    def with_steps(*steps: float) -> ApplyStudy:
        return replace(STUDY, costs=[replace(COST, step=step) for step in steps], load=100.0)

    assert with_steps(0.02, 0.02, 0.02).busy
    assert not with_steps(0.02, 0.02, 0.021, 0.02).busy
    assert with_steps(0.02, 0.02, 0.03, 0.02).busy
    crashed = replace(COST, step=0.0, failure="crashed")
    steady = with_steps(0.02, 0.02, 0.02, 0.02)
    assert not replace(steady, costs=[*steady.costs, crashed]).busy
