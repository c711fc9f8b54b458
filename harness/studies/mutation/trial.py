"""Run cases on one build in an order, judge each as soon as its pictures are there, and stop when enough is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot, unique_shots
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.proposed import case_id, cell_id
from harness.judging.judgement import judge_case
from harness.records.pictures import Pixels, digest
from harness.records.record import Cell, Observation, Records, Run, Writer
from harness.verification.batches import batches

#: Seconds that one picture may take. A mutant may never end; an ordinary picture takes less than a second.
PICTURE_TIMEOUT = 60.0
#: The number of cases that are tried first. Each later group has twice as many.
FIRST = 6


class _Enough(Exception):
    """No more cases are needed."""


class _InMemory(Writer):
    """Takes what a run observes and writes nothing."""

    def __init__(self) -> None:
        pass

    def picture(self, pixels: Pixels) -> str:
        return digest(pixels)

    def observation(self, observation: Observation, repeat: int = 0) -> None:
        pass


def run_cases(
    under: BuildUnderTest,
    *,
    jobs: int,
    enough: Callable[[Sequence[Cell]], bool] = lambda _: False,
    known: Records | None = None,
) -> list[Cell]:
    """Run the cases of a build in their order, and return the cells of those that were judged, in matrix order.

    ``enough`` is asked with all cells so far after each new one; if it says yes, the rest is not run. ``jobs`` worker
    processes share the pictures of a group of cases. ``known`` has the observations of a build that makes the same
    pictures without an adapter; these are not made again.
    """
    trial = _Trial(under, enough, known)
    with suppress(_Enough):
        for group in _groups(under.supported):
            trial.run(group, jobs)
    order = {case_id(case): number for number, case in enumerate(under.cases)}
    return sorted(trial.cells, key=lambda cell: order[cell_id(cell)])


def _groups(cases: Sequence[Case | MalformedFileCase]) -> Iterator[list[Case | MalformedFileCase]]:
    start, size = 0, FIRST
    while start < len(cases):
        yield list(cases[start : start + size])
        start, size = start + size, 2 * size


class _Trial:
    """The cells of one build so far, and what has been observed of it."""

    def __init__(
        self, under: BuildUnderTest, enough: Callable[[Sequence[Cell]], bool], known: Records | None
    ) -> None:
        self.cells: list[Cell] = []
        self._under, self._enough = under, enough
        self._records = Records(
            run=Run(plan="", title="", command="", machine={}, started="", project=""),
        )
        self._observed: dict[str, Observation] = {}
        if known is not None:
            bare = {shot.name for shot in unique_shots(under.supported) if not any(shot.sequence)}
            self._records.pictures.add(known.pictures)
            self._observed |= {seen.shot: seen for seen in known.observations.values() if seen.shot in bare}
        self._waiting: list[Case | MalformedFileCase] = []
        self._lock = threading.Lock()

    def run(self, group: Sequence[Case | MalformedFileCase], jobs: int) -> None:
        """Run the pictures that a group of cases needs and that no earlier group had; raises _Enough."""
        self._waiting = list(group)
        missing = [shot for shot in unique_shots(group) if shot.name not in self._observed]
        for batch in batches(self._under, missing, jobs):
            limited = replace(batch, threads=1, timeout=min(batch.timeout, PICTURE_TIMEOUT))
            limited.run(self._under, _InMemory(), prepare=Shot.request, seen=self._add)
        self._judge()  # cases whose pictures are all those of earlier groups

    def _add(self, observation: Observation, pixels: Pixels | None) -> None:
        with self._lock:
            self._observed[observation.shot] = observation
            if pixels is not None and observation.picture:
                self._records.pictures[observation.picture] = pixels
            self._judge()

    def _judge(self) -> None:
        """Judge the waiting cases that have all their pictures; raises _Enough."""
        ready = [c for c in self._waiting if all(shot.name in self._observed for shot in c.shots)]
        for case in ready:
            self._waiting.remove(case)
            self.cells.append(judge_case(self._under, case, self._observed, self._records, ()))
            if self._enough(self.cells):
                raise _Enough
