"""The child process of the study of generated mutants: it builds mutants and runs cases on each, one after another.

``python -m harness.studies.mutation.worker`` reads ``Settings`` from the first line of standard input and a ``Task``
from each later line, and replies to each with a line, a ``MutantOutcome``. It ends when standard input does.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.cases.families import FAMILIES
from harness.cases.fixture import BlockQuantiser
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import FULL, PROPOSED, QUICK
from harness.cases.proposed import case_id, cell_id
from harness.child_process.replies import reply_channel
from harness.records import record
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.mutation.generated import GeneratedMutant
from harness.studies.mutation.kill_matrix import MutantOutcome, Notice
from harness.studies.mutation.mutant_build import MutantBuilder, Recipe, read_recipe
from harness.studies.mutation.outcome import CATCHING, State, state_of_mistake
from harness.studies.mutation.trial import run_cases
from harness.verification.sides import RunSpec, build_under_test
from sdcpp import cache
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from sdcpp.building import cmake
from sdcpp.errors import BuildFailed
from sdcpp.source import revision

#: The matrices whose cases can be run on mutants.
MATRICES = {"quick": QUICK, "proposed": PROPOSED, "full": FULL, "families": FAMILIES}
#: After so many timeouts a mutant is given up: each costs a minute.
MOST_TIMEOUTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker needs to know before its first mutant.

    ``folder`` has the build and the objects that all workers share, ``own`` is the worker's folder. ``order`` has the
    ids of the cases to run, in this order. ``plain`` has the verdict and the picture of each on the library without a
    mistake, and ``records`` is the file of that run. With ``every`` the cases after the first that notices a mutant
    run, too.
    """

    folder: str
    own: str
    objects: str
    revision: str
    matrix: str
    order: Sequence[str]
    plain: Mapping[str, tuple[str, str]]
    records: str
    jobs: int
    every: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A mutant, and the ids of the cases to run on it, in this order; None stands for all.

    ``bare`` tells whether the mistake may change pictures without an adapter.
    """

    mutant: GeneratedMutant
    cases: tuple[str, ...] | None = None
    bare: bool = True

    @classmethod
    def of_whole_matrix(cls, mutant: GeneratedMutant) -> Task:
        """Return the task to run all cases on a mutant."""
        return cls(mutant=mutant)

    def line(self) -> bytes:
        """Return the task as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Task:
        """Return the task that ``line`` made."""
        entry = json.loads(line)
        cases = entry["cases"]
        return cls(
            mutant=GeneratedMutant(**entry["mutant"]),
            cases=None if cases is None else tuple(cases),
            bare=entry["bare"],
        )


def recipe_of(folder: Path, objects: Path, target: str) -> tuple[Build, Recipe]:
    """Return the build in the folder of a study, and how it was built."""
    original = build_folder.read(folder / "build")
    project = cmake.Project(source=folder, folder=objects)
    return original, read_recipe(folder / "source", project, target, original.library.name)


def under_test(build: Build, name: str, matrix: str) -> BuildUnderTest:
    """Return a build of a named revision with the cases of a matrix; they need no quantised blocks."""
    spec = RunSpec(matrix=MATRICES[matrix], sides=("patched",))
    lacks = dict(revision.find(name).lacks)
    return build_under_test(
        build, "mutant", spec, BlockQuantiser(), patched=True, again=("sdcpp",), lacks=lacks
    )


class Worker:
    """Builds mutants and runs the cases on them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        folder = Path(settings.folder)
        target = revision.find(settings.revision).target
        original, recipe = recipe_of(folder, Path(settings.objects), target)
        self._builder = MutantBuilder(recipe, original, folder / "plain", Path(settings.own))
        under = under_test(original, settings.revision, settings.matrix)
        place = {name: number for number, name in enumerate(settings.order)}
        known = [case for case in under.cases if case_id(case) in place]
        self._under = replace(under, cases=sorted(known, key=lambda case: place[case_id(case)]))
        self._records = record.read(Path(settings.records))

    def outcome(self, task: Task) -> MutantOutcome:
        """Build a mutant, run the cases, and return what came of it."""
        mutant = task.mutant
        start = time.monotonic()
        try:
            build = self._builder.build(mutant)
        except BuildFailed as error:
            return self._outcome(
                mutant, State.UNBUILT, [], built=time.monotonic() - start, error=error.subject
            )
        built = time.monotonic() - start
        side = replace(self._under.side, identity=build.identity)
        under = replace(self._under, build=build, side=side, cases=self._cases(task))
        known = None if task.bare else self._records
        cells = run_cases(under, jobs=self._settings.jobs, enough=self._enough, known=known)
        state = state_of_mistake(cell.verdict for cell in self._differing(cells))
        seconds = time.monotonic() - start - built
        return self._outcome(mutant, state, cells, built=built, ran=seconds)

    def _cases(self, task: Task) -> list[Case | MalformedFileCase]:
        if task.cases is None:
            return list(self._under.cases)
        by_id = {case_id(case): case for case in self._under.cases}
        return [by_id[name] for name in task.cases if name in by_id]

    def _enough(self, cells: Sequence[Cell]) -> bool:
        differing = self._differing(cells)
        hung = sum(cell.verdict is Verdict.TIMEOUT for cell in differing)
        noticed = any(cell.verdict in CATCHING for cell in differing)
        return hung >= MOST_TIMEOUTS or (noticed and not self._settings.every)

    def _differing(self, cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.verdict != self._settings.plain[cell_id(cell)][0]]

    def _outcome(
        self,
        mutant: GeneratedMutant,
        state: State,
        cells: Sequence[Cell],
        *,
        built: float,
        ran: float = 0.0,
        error: str = "",
    ) -> MutantOutcome:
        pictures = sum(
            cell.pictures.get("got", "") != self._settings.plain[cell_id(cell)][1] for cell in cells
        )
        return MutantOutcome(
            id=mutant.id,
            state=state,
            file=mutant.file,
            function=mutant.function,
            line=mutant.line,
            source=mutant.source,
            mistake=mutant.mistake,
            notices=tuple(Notice.of(cell) for cell in self._differing(cells)),
            tried=len(cells),
            pictures=pictures,
            built=round(built, 1),
            ran=round(ran, 1),
            error=error,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )


def main() -> int:
    """Run the worker."""
    with reply_channel() as send:
        settings = Settings(**json.loads(sys.stdin.buffer.readline()))
        # The worker of a study that was killed may still be at its last mutant in the same folder.
        with cache.lock(Path(settings.own)), suppress(BrokenPipeError):
            worker = Worker(settings)
            for line in sys.stdin.buffer:
                outcome = worker.outcome(Task.from_line(line))
                send(json.dumps(asdict(outcome), separators=(",", ":")).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
