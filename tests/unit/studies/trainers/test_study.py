from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.studies.trainers import study
from harness.studies.trainers.study import Outcome, TrainerStudy
from sdcpp.errors import FileInvalid, NothingTried

STUDY = TrainerStudy(
    command="nox -s trainers",
    date="2026-01-02",
    side="2026-07 patched",
    versions={"torch": "2.13", "peft": "0.21"},
    outcomes=(
        Outcome(
            base="flux-small",
            writer="peft-lora",
            converter=1e-15,
            verdicts={"immediately": "PASS", "at_runtime": "NO_EFFECT"},
            errors={"immediately": 0.012, "at_runtime": 1.0},
        ),
        Outcome(base="flux-small", writer="peft-dora", refusal="a tensor_of <it> is not understood"),
        Outcome(base="sd1-tiny", writer="lycoris-full", failure="KeyError: 'x'"),
        Outcome(base="sd1-tiny", writer="peft-loha-tucker", converter=0.5),
    ),
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "trainers.json"
    study.write(STUDY, path)
    assert study.read(path) == STUDY


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"outcomes": [{"unknown": 1}]}'])
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trainers.json"
    path.write_text(text)
    with pytest.raises(FileInvalid, match="the record cannot be read"):
        study.read(path)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="nox -s trainers"):
        study.read(tmp_path / "none.json")


def test_the_verdicts_of_both_modes_are_kept() -> None:
    outcome = Outcome(base="sd1-tiny", writer="peft-lora", converter=0.0)
    for mode, verdict, error in (("immediately", Verdict.PASS, 0.01), ("at_runtime", Verdict.ABORT, None)):
        cell = Cell(
            side="s", case="c", dimensions={"mode": mode}, verdict=verdict, status=Status.PASS, error=error
        )
        outcome = study.with_cell(outcome, cell)
    assert outcome.verdicts == {"immediately": "PASS", "at_runtime": "ABORT"}
    assert outcome.errors == {"immediately": 0.01, "at_runtime": None}


def test_the_command_needs_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--python", "x", "--recorded"]):
        with pytest.raises(SystemExit):
            main(["study", "trainers", *words])
        assert "give either --python or --recorded" in capsys.readouterr().err


def test_the_recorded_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "trainers", "--recorded"]) == 0
    assert "| peft-lora |" in capsys.readouterr().out
