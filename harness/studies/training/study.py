"""Run the trainings in a Python that has torch and peft, and keep the record."""

from __future__ import annotations

import datetime
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.studies import record_file
from harness.studies.peer_script import answer
from sdcpp import project
from sdcpp.binding import build_folder
from sdcpp.process import cores, load

#: The record.
RECORD = project.ROOT / "results" / "training.json"
#: The script that needs torch. It is not imported, because it is run by another Python.
SCRIPT = Path(__file__).with_name("training_peer.py")
#: The ways to a quantised LoRA, and what each is.
WAYS: Mapping[str, str] = {
    "plain": "trained in float, then converted",
    "rebalance": "trained in float, then converted with `--rebalance`",
    "fake": "trained with the fake quantiser",
    "late": "the last third trained with the fake quantiser",
    "rebalanced, late": "after two thirds converted with `--rebalance`, the last third trained with the fake quantiser",
    "fake, rebalance": "trained with the fake quantiser, then converted with `--rebalance`",
}
#: The values of ``--type`` that are compared.
TYPES = ("Q4_0", "Q4_K", "Q4_K,Q4_0", "Q2_K,Q4_0")
#: The types whose quantising is timed.
TIMED = ("Q8_0", "Q4_0", "Q4_K", "Q2_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """The loss of one training after conversion to ``type``; of "float" without conversion.

    ``seen`` is the loss at the end of the training with the fake quantiser, before the conversion, or None.
    """

    seed: int
    type: str
    way: str
    loss: float
    seen: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStudy:
    """The runs with one library, with the command, the machine and the date (UTC).

    ``seconds`` is what quantising ``values`` numbers of the factors of a LoRA takes, by type. ``load`` is the number of
    processes that wanted a core before the measurement, or None if the system does not say.
    """

    command: str
    date: str
    library: str
    cores: int
    load: float | None
    versions: Mapping[str, str]
    steps: int
    runs: Sequence[TrainingRun]
    values: int
    seconds: Mapping[str, float]

    def losses(self, way: str, kinds: str) -> list[float]:
        """Return the losses of one way and type, one for each seed."""
        return [run.loss for run in self.runs if (run.way, run.type) == (way, kinds)]

    def median(self, way: str, kinds: str) -> float:
        """Return the median of ``losses``."""
        return statistics.median(self.losses(way, kinds))

    @property
    def types(self) -> list[str]:
        """The types in the order of the runs."""
        return list(dict.fromkeys(run.type for run in self.runs if run.type))

    @property
    def seeds(self) -> list[int]:
        """The seeds."""
        return sorted({run.seed for run in self.runs})

    @property
    def checked(self) -> tuple[int, int]:
        """In how many runs the loss after the conversion is exactly that of the training, and how many there are."""
        trained = [run for run in self.runs if run.seen is not None]
        return sum(run.seen == run.loss for run in trained), len(trained)


def study(
    python: Path, build: Path, *, seeds: Sequence[int], steps: int, command: str
) -> Iterator[TrainingStudy]:
    """Run all trainings. Yield what was found after each seed, so that a run that is stopped loses only one.

    ``python`` has this project, torch and peft, and ``build`` is the folder of a build. Raises LibraryUnusable if one
    of them cannot be used, and ToolMissing if ``python`` cannot be started.
    """
    record = build_folder.read(build).record
    found = TrainingStudy(
        command=command,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        library=f"{record['revision']} {'patched' if record['patches'] else 'pristine'}",
        cores=cores(),
        load=load(),
        versions={},
        steps=steps,
        runs=(),
        values=0,
        seconds={},
    )
    for seed in seeds:
        job = {
            "build": str(build),
            "types": TYPES,
            "seeds": [seed],
            "steps": steps,
            "timed": () if found.seconds else TIMED,
        }
        made = answer(
            python,
            os.fspath(SCRIPT),
            job,
            failure="the trainings failed",
            remedy="install this project, torch and peft there, or run nox -s training",
        )
        found = replace(
            found,
            versions=made["versions"],
            runs=(*found.runs, *(TrainingRun(**run) for run in made["runs"])),
            values=made["values"],
            seconds=found.seconds or made["seconds"],
        )
        yield found


def write(found: TrainingStudy, path: Path = RECORD) -> None:
    """Write a study as JSON."""
    record_file.write(found, path)


def read(path: Path = RECORD) -> TrainingStudy:
    """Return the study that ``write`` wrote. Raises NothingTried if there is none, and FileInvalid if it is damaged."""

    def make(entry: dict[str, Any]) -> TrainingStudy:
        return TrainingStudy(**{**entry, "runs": tuple(TrainingRun(**run) for run in entry["runs"])})

    return record_file.read(path, make, command="nox -s training")
