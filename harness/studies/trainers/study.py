"""Write adapters with the trainers' libraries, judge the library and the converter, and keep the record."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.cases.case import Case
from harness.records.record import Cell
from harness.studies import record_file
from harness.studies.trainers import judged, writers
from harness.verification.run import run_sides
from sdcpp import atomic_write, project
from sdcpp.binding import build_folder
from sdcpp.errors import NothingTried

#: The record.
RECORD = project.ROOT / "results" / "trainers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was found with the adapter of one writer for the base model ``base``.

    ``failure`` is the error of the trainer's library, which then wrote nothing. ``converter`` is the relative error of
    ΔW when this project converts and merges the adapter in float64, or None with the reason in ``refusal``.
    ``verdicts`` and ``errors`` have the verdict of the library under test and the effect error, by apply mode.
    """

    base: str
    writer: str
    failure: str = ""
    converter: float | None = None
    refusal: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerStudy:
    """The outcomes of all base models and writers with one build, with the command and the date (UTC).

    ``versions`` are those of the trainers' libraries, and ``side`` is the label of the build.
    """

    command: str
    date: str
    side: str
    versions: Mapping[str, str]
    outcomes: Sequence[Outcome]


def study(
    python: Path, build: Path, folder: Path, names: Sequence[str], *, command: str, jobs: int | None
) -> TrainerStudy:
    """Run the study and return what was found. ``folder`` gets the files and the records of the pictures.

    ``names`` are writers; a base model is left out for those that it cannot have. ``python`` has the trainers'
    libraries and ``build`` is the folder of a build. Raises LibraryUnusable if either cannot be used, and NothingTried
    if no library wrote an adapter.
    """
    library = build_folder.read(build)
    found: dict[tuple[str, str], Outcome] = {}
    cases: list[Case] = []
    versions: Mapping[str, str] = {}
    for base in writers.BASES:
        files = atomic_write.ensure_folder(folder / "files" / base.name)
        wanted = [name for name in names if name in writers.writers_of(base)]
        versions, written = writers.write(python, base, files, wanted)
        for one in written:
            outcome = Outcome(base=base.name, writer=one.writer, failure=one.error)
            if not one.error:
                error, refusal = judged.converter_errors(base, one, files)
                outcome = replace(outcome, converter=error, refusal=refusal)
                cases += judged.cases(base, one, files)
            found[base.name, one.writer] = outcome
    if not cases:
        failure = next((outcome.failure for outcome in found.values()), "")
        raise NothingTried("no library wrote an adapter", python, f"read their errors: {failure}")
    under = judged.build_under_test(library, cases, command)
    records = run_sides(
        [under], folder, title="adapters of real writers", command=command, jobs=jobs, expected=()
    )
    for cell in records.cells:
        name = cell.dimensions["base"], cell.dimensions["writer"]
        found[name] = with_cell(found[name], cell)
    return TrainerStudy(
        command=command,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        side=under.side.label,
        versions=versions,
        outcomes=tuple(found.values()),
    )


def with_cell(outcome: Outcome, cell: Cell) -> Outcome:
    """Return an outcome with the verdict of one cell."""
    mode = cell.dimensions["mode"]
    return replace(
        outcome,
        verdicts={**outcome.verdicts, mode: str(cell.verdict)},
        errors={**outcome.errors, mode: cell.error},
    )


def write(found: TrainerStudy, path: Path = RECORD) -> None:
    """Write a study as JSON."""
    record_file.write(found, path)


def read(path: Path = RECORD) -> TrainerStudy:
    """Return the study that ``write`` wrote. Raises NothingTried if there is none, and FileInvalid if it is damaged."""

    def make(entry: dict[str, Any]) -> TrainerStudy:
        return TrainerStudy(
            **{**entry, "outcomes": tuple(Outcome(**outcome) for outcome in entry["outcomes"])}
        )

    return record_file.read(path, make, command="nox -s trainers")
