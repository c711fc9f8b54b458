"""Build mutants and run the cases on them, or read the outcome from finished records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.case import MODES, Case, plan_digest
from harness.cases.case import select as selected
from harness.cases.fixture import BlockQuantiser
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import Matrix
from harness.records.record import Records, read
from harness.studies.mutation.mutants import FOLDER, Mutant
from harness.studies.mutation.outcome import WANTED, Outcome, State, compare, describe
from harness.verification.run import RECORDS, run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp import console
from sdcpp.patching import series
from sdcpp.process import quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

COMMAND = ("sdcpp", "mutants")
#: CMake cache entries of the builds. Upstream's CMake project includes the file, which makes builds faster.
_QUICK = {"CMAKE_PROJECT_stable-diffusion_INCLUDE": (FOLDER / "quick.cmake").as_posix()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationRun:
    """Runs mutants of a revision with the project's patches, on the cases of a matrix.

    ``folder`` keeps the records. ``hints`` has the selections of all mutants; the unmutated library runs these cases
    once for all mutants.
    """

    revision: Revision
    matrix: Matrix
    folder: Path
    hints: Sequence[str]
    jobs: int | None = None

    def forget(self, mutants: Iterable[Mutant]) -> None:
        """Remove the records of these mutants and of the unmutated library, so that they run again."""
        for name in ("unmutated", *(mutant.name for mutant in mutants)):
            for path in (self.folder / name).glob(f"*/{RECORDS}"):
                path.unlink()

    def outcome(self, mutant: Mutant, *, full_matrix: bool = False) -> Outcome:
        """Build a mutant, run the cases of its selection, and run the full matrix if they do not catch it.

        A control runs its selection only. With ``full_matrix`` every mutant runs the full matrix at once. Existing
        records are reused.
        """
        outcome = self._outcome_of(mutant, () if full_matrix else mutant.select)
        missed = outcome.state in (State.CRASHED, State.SURVIVED)
        return self._outcome_of(mutant, ()) if missed and not full_matrix else outcome

    def _outcome_of(self, mutant: Mutant, select: Sequence[str]) -> Outcome:
        """Run the selected cases, or all cases if ``select`` is empty, and return the outcome."""
        mutated = self.records(mutant, select)
        if mutated is None:
            return Outcome(mutant=mutant, state=State.WAITING)
        plain = self.records(None, self.hints if select else ())
        outcome = compare(mutant, plain.cells if plain else (), mutated.cells)
        return replace(outcome, date=mutated.finished[:10])

    def recorded(self, mutant: Mutant) -> Outcome:
        """Return the outcome from finished records, without a build or a run.

        Records of an earlier content of the mutant's file do not count. The build of the library is not checked.
        """
        for select, hints in ((mutant.select, self.hints), ((), ())):
            mutated, plain = self._finished(mutant.name, select), self._finished("unmutated", hints)
            if mutated and plain and mutant.patch.sha256 in _patches(mutated):
                outcome = compare(mutant, plain.cells, mutated.cells)
                if outcome.state in WANTED or not select:
                    return replace(outcome, date=mutated.finished[:10])
        return Outcome(mutant=mutant, state=State.NOT_RUN)

    def _finished(self, name: str, select: Sequence[str]) -> Records | None:
        """Return the records of a finished run, or None if there is no such run."""
        path = self._records_folder(name, select) / RECORDS
        records = read(path) if path.exists() else None
        return records if records and records.finished else None

    def _records_folder(self, name: str, select: Sequence[str]) -> Path:
        """Return the folder of the records of a selection, or of the full matrix if ``select`` is empty."""
        return self.folder / name / (plan_digest(select)[:8] if select else "whole")

    def records(self, mutant: Mutant | None, select: Sequence[str]) -> Records | None:
        """Run the selected cases on a mutant, or on the unmutated library if ``mutant`` is None.

        Returns the records, or None, without a build, if no case is selected.
        """
        if not cases(self.matrix, workspace.workspace(self.revision).lora_api, select):
            return None
        name = mutant.name if mutant else "unmutated"
        command = [*COMMAND, "--mutant", name] if mutant else [*COMMAND]
        patches = [*series.load(), *([mutant.patch] if mutant else ())]
        spec = RunSpec(matrix=self.matrix, select=select, sides=("patched",), options=_QUICK)
        [build] = build_sides(self.revision, patches, spec, BlockQuantiser())
        side = replace(build.side, label=name)
        repeat = quoted([*command, "--case"])
        return run_sides(
            [replace(build, side=side, repeat=repeat)],
            self._records_folder(name, select),
            title=f"mutant {name}" if mutant else "the library without a mistake",
            command=quoted(command),
            jobs=self.jobs,
            reuse=True,
        )


def _patches(records: Records) -> set[str]:
    """Return the SHA-256 of every patch in the builds of a run."""
    return {patch["sha256"] for side in records.sides.values() for patch in side.build["patches"]}


def cases(matrix: Matrix, generation: str, select: Sequence[str]) -> list[Case | MalformedFileCase]:
    """Return the cases of a matrix, in any mode, that match a selection."""
    return selected(matrix.cases(generation, MODES, BlockQuantiser()), select)


def run_all(study: MutationRun, mutants: Sequence[Mutant], *, full_matrix: bool = False) -> Iterator[Outcome]:
    """Run mutants one after another, print the progress, and yield the outcomes."""
    for number, mutant in enumerate(mutants, 1):
        console.note(f"mutant {number} of {len(mutants)}: {mutant.name}: {mutant.mistake}")
        outcome = study.outcome(mutant, full_matrix=full_matrix)
        console.note(f"   {describe(outcome)}")
        yield outcome
