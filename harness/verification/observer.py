"""Run the shots that the records of a run lack, and show what comes of the cases while the run goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, unique_shots
from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging.expectation import Expectation
from harness.judging.judgement import judge_case
from harness.records.pictures import Pixels
from harness.records.record import Cell, Observation, Records, Writer
from harness.records.verdict import Status
from harness.reports.progress import Progress
from harness.running.preparer import Preparer
from harness.verification.batches import batches
from sdcpp.process import cores


class _Side:
    """A build under test, the shots that it lacks, and its observations by the names of their shots."""

    def __init__(self, build: BuildUnderTest, observed: dict[str, Observation]) -> None:
        self.build, self.observed = build, observed
        self.missing = [shot for shot in unique_shots(build.supported) if shot.name not in observed]
        self._cases: dict[str, list[Case | MalformedFileCase]] = {}
        for case in build.supported:
            for name in {shot.name for shot in case.shots}:  # a case may need a shot for two purposes
                self._cases.setdefault(name, []).append(case)

    def completed_by(self, shot: str) -> Iterator[Case | MalformedFileCase]:
        """Yield the cases that need a shot and have all their observations."""
        for case in self._cases[shot]:
            if all(needed.name in self.observed for needed in case.shots):
                yield case


class Observer:
    """Adds to ``records``, and writes, the observations that the cases of ``builds`` need and the records lack.

    A case is judged as soon as all its shots have run, for the progress bar. The first unexpected failure is shown at
    once, except on a side with a baseline, whose judgement has to wait for the baseline's. ``expected`` says what is
    expected, ``repeats`` that failures will be repeated.
    """

    def __init__(
        self,
        builds: Sequence[BuildUnderTest],
        records: Records,
        writer: Writer,
        expected: Sequence[Expectation],
        *,
        repeats: bool = False,
    ) -> None:
        self._records, self._writer, self._repeats = records, writer, repeats
        self._expected = expected
        # Two sides with the same identity share their observations: no patch applies to the revision.
        unique: dict[str, BuildUnderTest] = {}
        for build in builds:
            unique.setdefault(build.side.identity, build)
        self._sides = [_Side(build, records.of(identity)) for identity, build in unique.items()]
        self._lock = threading.Lock()
        self._failure_shown = False

    def run(self, jobs: int | None) -> None:
        """Run the missing shots in ``jobs`` workers; None chooses their number by cores and memory."""
        missing = [shot for side in self._sides for shot in side.missing]
        found = [(side, batch) for side in self._sides for batch in batches(side.build, side.missing, jobs)]
        makers = min(cores(), max((batch.jobs for _, batch in found if batch.shots), default=1))
        with Preparer(missing, makers) as prepare, Progress(len(missing)) as progress:
            for side, batch in found:
                batch.run(side.build, self._writer, prepare=prepare, seen=partial(self._add, side, progress))

    def _add(self, side: _Side, progress: Progress, observation: Observation, pixels: Pixels | None) -> None:
        """Add an observation to the records and judge the cases that it completes; several threads call this."""
        with self._lock:
            self._records.observations[observation.build, observation.shot] = observation
            side.observed[observation.shot] = observation
            if pixels is not None and observation.picture:
                self._records.pictures[observation.picture] = pixels
            cells = [
                judge_case(side.build, case, side.observed, self._records, self._expected)
                for case in side.completed_by(observation.shot)
            ]
            label = side.build.side.label
            progress.update(f"{label}  {observation.shot}", [cell.verdict for cell in cells])
            if not side.build.baseline:
                self._show_first_failure(cells, progress)

    def _show_first_failure(self, cells: Sequence[Cell], progress: Progress) -> None:
        if self._failure_shown:
            return
        for cell in cells:
            if cell.status is Status.UNEXPECTED:
                self._failure_shown = True
                later = ", which will be repeated" if self._repeats else ""
                progress.say(f"first failure: {cell.side} {cell.case}: {cell.verdict}{later}")
                progress.say(f"  {cell.evidence}\n  $ {cell.repeat}")
                return
