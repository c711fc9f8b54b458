from __future__ import annotations

from pathlib import Path

from harness.studies.applying import study
from tests.unit.studies.applying.examples import STUDY


def test_a_written_study_is_read_back(tmp_path: Path) -> None:
    study.write([STUDY], tmp_path / "cost.json")
    assert study.read(tmp_path / "cost.json") == [STUDY]
