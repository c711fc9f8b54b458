from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.studies.training import page, study
from harness.studies.training.study import TrainingRun, TrainingStudy
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FileInvalid, NothingTried

LOSSES = {
    "plain": 0.04,
    "rebalance": 0.03,
    "fake": 0.028,
    "late": 0.026,
    "rebalanced, late": 0.019,
    "fake, rebalance": 0.05,
}
STUDY = TrainingStudy(
    command="nox -s training",
    date="2026-01-02",
    library="2026-07 patched",
    cores=2,
    load=0.5,
    versions={"torch": "2.13", "peft": "0.21"},
    steps=450,
    runs=tuple(
        run
        for seed, more in ((1, 0.0), (2, 0.001), (3, 0.1))
        for run in (
            TrainingRun(seed=seed, type="", way="float", loss=0.02 + more),
            *(
                TrainingRun(
                    seed=seed,
                    type="Q4_0",
                    way=way,
                    loss=loss + more,
                    seen=loss + more if way in ("fake", "late") else None,
                )
                for way, loss in LOSSES.items()
            ),
        )
    ),
    values=9_830_400,
    seconds={"Q8_0": 0.4, "Q4_0": 1.5},
)


def test_medians_of_the_seeds() -> None:
    assert STUDY.median("float", "") == 0.021
    assert STUDY.losses("plain", "Q4_0") == [0.04, 0.041, 0.14]
    assert (STUDY.types, STUDY.seeds, STUDY.checked) == (["Q4_0"], [1, 2, 3], (6, 6))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    study.write(STUDY, path)
    assert study.read(path) == STUDY


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"runs": [{"unknown": 1}]}'])
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "training.json"
    path.write_text(text)
    with pytest.raises(FileInvalid, match="the record cannot be read"):
        study.read(path)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="nox -s training"):
        study.read(tmp_path / "none.json")


def test_the_script_gets_a_job_for_each_seed_and_what_was_found_grows(
    fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def answer(python: Path, script: str, job: dict[str, Any], **_: str) -> dict[str, Any]:
        asked.append((python, Path(script).name, job))
        run = {"seed": job["seeds"][0], "type": "", "way": "float", "loss": 0.5, "seen": None}
        seconds = dict.fromkeys(job["timed"], 1.0)
        return {"versions": {"torch": "2"}, "runs": [run], "values": 3, "seconds": seconds}

    monkeypatch.setattr(study, "answer", answer)
    folder = fake_build("C").folder
    first, both = study.study(Path("python"), folder, seeds=range(1, 3), steps=7, command="c")
    assert {(python, script) for python, script, _ in asked} == {(Path("python"), "training_peer.py")}
    assert [(job["build"], job["seeds"], job["steps"], bool(job["timed"])) for *_, job in asked] == [
        (str(folder), [1], 7, True),
        (str(folder), [2], 7, False),
    ]
    assert (first.seeds, both.seeds) == ([1], [1, 2])
    assert both.runs[0] == TrainingRun(seed=1, type="", way="float", loss=0.5)
    assert (both.steps, both.values, both.versions) == (7, 3, {"torch": "2"})
    assert both.seconds == dict.fromkeys(study.TIMED, 1.0)


@pytest.mark.parametrize("words", [["--python", "x", "--build", "y"], ["--recorded"]])
def test_the_record_and_the_page_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    asked: list[int] = []

    def measure(*_: Path, **job: Any) -> Iterator[TrainingStudy]:
        asked.extend(job["seeds"])
        yield replace(STUDY, runs=STUDY.runs[:7])
        yield STUDY

    monkeypatch.setattr(study, "study", measure)
    monkeypatch.setattr(study, "read", lambda: STUDY)
    monkeypatch.setattr(study, "write", lambda found: asked.append(len(found.runs)))
    monkeypatch.setattr(page, "PAGE", tmp_path / "training.md")
    assert main(["study", "training", *words, "--write-docs", "--seeds", "2"]) == 0
    assert asked == ([21] if "--recorded" in words else [1, 2, 7, 21])
    assert "medians of 3 seeds" in (tmp_path / "training.md").read_text(encoding="utf-8")


def test_the_command_needs_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--python", "x", "--recorded"]):
        with pytest.raises(SystemExit):
            main(["study", "training", *words])
        assert "give either --python or --recorded" in capsys.readouterr().err


def test_the_recorded_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(study, "read", lambda: STUDY)
    assert main(["study", "training", "--recorded"]) == 0
    assert "| Q4_0 |" in capsys.readouterr().out
