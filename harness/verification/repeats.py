"""Run doubtful cases again before they count: what differs on one build is no regression."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot
from harness.judging import stability
from harness.judging.expectation import Expectation
from harness.judging.judgement import judge
from harness.records.pictures import Pixels
from harness.records.record import Cell, Observation, Records, Writer
from harness.records.verdict import FAILING, Verdict
from harness.reports import before_after
from harness.reports.progress import Progress
from harness.reports.table import arrange
from harness.running.preparer import Preparer
from harness.text import plural
from harness.verification.batches import batches
from sdcpp import console
from sdcpp.process import cores

#: How often a case is repeated before a result that fails the run, or a regression, counts.
REPEATS = 3
#: How often a case is repeated that a proposed change seems to fix, or that fails in another way with the change.
REPEATS_OF_A_CHANGE = 1


def judge_with_repeats(
    builds: Sequence[BuildUnderTest],
    records: Records,
    writer: Writer,
    jobs: int | None,
    expected: Sequence[Expectation],
) -> list[Cell]:
    """Judge the cases of ``builds``, and run the doubtful ones again, up to REPEATS times, until none is doubtful.

    Returns the cells, and adds to the records what happened. A case is repeated on both sides of a comparison. Each of
    its pictures, those that it is compared with included, is made by a process of its own. A case that is found to be
    unstable is not repeated any more. Repeats that the records have are not run again.

    Raises FixtureInvalid if the pictures of a base model cannot be compared reliably.
    """
    for number in range(1, REPEATS + 1):
        known = {key: seen for key, seen in records.repeats.items() if key[-1] < number}
        before = replace(records, repeats=known)
        before.cells = list(judge(builds, before, expected))
        shots = _shots(builds, before, number)
        if not shots:
            return before.cells
        missing = {
            identity: [
                shot for name, shot in of_build.items() if (identity, name, number) not in records.repeats
            ]
            for identity, of_build in shots.items()
        }
        if any(missing.values()):
            _run(builds, missing, number, records=records, writer=writer, jobs=jobs)
    return list(judge(builds, records, expected))


def _shots(builds: Sequence[BuildUnderTest], records: Records, number: int) -> dict[str, dict[str, Shot]]:
    """Return the shots to repeat for the time ``number``, by build identity and name."""
    doubtful = {id(cell) for cell in _doubtful(records, number)}
    found: dict[str, dict[str, Shot]] = {}
    cells = iter(records.cells)  # judge() yields a cell for every case, in this order
    for build in builds:
        for case in build.cases:
            if id(next(cells)) in doubtful and not build.why_not_run(case):
                found.setdefault(build.side.identity, {}).update({shot.name: shot for shot in case.shots})
    return found


def _doubtful(records: Records, number: int) -> Iterator[Cell]:
    """Yield the cells that fail the run or that a change seems to affect, with the same cases on the other side."""
    table = arrange(records)
    proposed = bool(records.run.proposal) and number <= REPEATS_OF_A_CHANGE
    pairs = before_after.pairs(table)
    for pair in pairs:
        for change in before_after.changes(table, pair):
            sides = [cell for cell in (change.before, change.after) if cell]
            changed = len(sides) == 2 and stability.suspicious(*sides, proposed=proposed)
            if (changed or any(cell.status in FAILING for cell in sides)) and not _certain(sides):
                yield from sides
    alone = {side.label for side in before_after.unpaired_sides(table, pairs)}
    for cell in records.cells:
        if cell.side in alone and cell.status in FAILING and not _certain([cell]):
            yield cell


def _certain(cells: Iterable[Cell]) -> bool:
    """Tell whether a repeat of a case would be a waste.

    All cases of a base model that makes no picture without an adapter fail; the one without an adapter is repeated for
    them. A library that runs on another backend than the requested one does so for every case.
    """
    return any(
        (cell.base_failure and cell.verdict is Verdict.UNJUDGED) or cell.verdict is Verdict.MISDIRECTED
        for cell in cells
    )


def _run(
    builds: Sequence[BuildUnderTest],
    missing: Mapping[str, Sequence[Shot]],
    number: int,
    *,
    records: Records,
    writer: Writer,
    jobs: int | None,
) -> None:
    """Run shots, given by build identity, in processes of their own, and add the observations to the records."""
    unique = {build.side.identity: build for build in reversed(builds)}
    shots = [shot for of_build in missing.values() for shot in of_build]
    console.note(
        f"repeating doubtful cases, time {number} of at most {REPEATS}: {plural(len(shots), 'picture')}"
    )
    lock = threading.Lock()
    found = [
        (unique[identity], batch)
        for identity, of_build in missing.items()
        for batch in batches(unique[identity], of_build, jobs)
        if batch.shots
    ]
    makers = min(cores(), max(batch.jobs for _, batch in found))
    with Preparer(shots, makers) as prepare, Progress(len(shots)) as progress:

        def add(observation: Observation, pixels: Pixels | None) -> None:
            with lock:
                records.repeats[observation.build, observation.shot, number] = observation
                if pixels is not None and observation.picture:
                    records.pictures[observation.picture] = pixels
                progress.update(observation.shot, ())

        for build, batch in found:
            batch.run(build, writer, prepare=prepare, seen=add, repeat=number)
