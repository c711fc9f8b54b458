"""Run the same cases several times, and compare the pictures byte by byte and the verdicts.

A comparison of two states of a source can be repeated, too: a change that does nothing must make no cell worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cases.build_under_test import BuildUnderTest
from harness.records.change import ChangeKind
from harness.records.record import Cell, Observation, Records
from harness.reports import before_after
from harness.reports.table import arrange, case_id
from harness.text import plural
from harness.verification.run import run_sides
from sdcpp import console


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One of several runs of the same cases: its number, the number of workers (``jobs``), and its records."""

    number: int
    jobs: int
    records: Records

    @property
    def name(self) -> str:
        """The name of the run in messages."""
        return f"round {self.number} ({plural(self.jobs, 'worker')})"


def rounds(
    builds: Sequence[BuildUnderTest],
    folder: Path,
    *,
    jobs: Sequence[int],
    times: int,
    command: str,
    proposal: Mapping[str, Any] | None = None,
) -> Iterator[Repetition]:
    """Run the cases ``times`` times with each number of workers in ``jobs``, and yield each run.

    Finished runs in ``folder`` are reused. ``differences`` compares a run with the first one. If ``builds`` are the two
    states of a change, ``proposal`` describes it, and each run repeats doubtful cases as ``verify`` does.
    """
    worker_counts = [count for count in jobs for _ in range(times)]
    for number, count in enumerate(worker_counts, 1):
        console.note(f"round {number} of {len(worker_counts)}, {plural(count, 'worker')}")
        part = folder / f"round-{number}-of-{count}"
        title = f"round {number}"
        records = run_sides(
            builds,
            part,
            title=title,
            command=command,
            jobs=count,
            reuse=True,
            repeats=bool(proposal),
            proposal=proposal,
        )
        yield Repetition(number=number, jobs=count, records=records)


def effects(records: Records) -> Iterator[tuple[ChangeKind, str]]:
    """Yield the kind of change and a line for each case that is not the same on both sides, or is unstable."""
    table = arrange(records)
    same = (ChangeKind.UNCHANGED, ChangeKind.NOT_JUDGED)
    for pair in before_after.pairs(table):
        for change in before_after.changes(table, pair):
            cells = [cell for cell in (change.before, change.after) if cell]
            if change.kind not in same:
                verdicts = " -> ".join(str(cell.verdict) for cell in cells)
                base = cells[0].dimensions.get("base", "")
                yield change.kind, f"{change.kind}: {base} {case_id(cells[0])}: {verdicts}"


def differences(first: Records, other: Records) -> Iterator[str]:
    """Yield a line for each shot whose outcome or picture differs, and for each case whose verdict differs."""
    for (build, shot), seen in first.observations.items():
        later = other.observations.get((build, shot))
        if later is None or (seen.outcome, seen.picture) != (later.outcome, later.picture):
            yield f"{shot}: {_result(seen)}, then {_result(later)}"
    verdicts = {_key(cell): cell.verdict for cell in other.cells}
    for cell in first.cells:
        if verdicts.get(_key(cell)) is not cell.verdict:
            yield f"{' '.join(_key(cell))}: {cell.verdict}, then {verdicts.get(_key(cell), 'nothing')}"


def _result(seen: Observation | None) -> str:
    """Return the outcome, and the beginning of the SHA-256 of the picture."""
    return "nothing" if seen is None else f"{seen.outcome} {(seen.picture or '')[:12]}".strip()


def _key(cell: Cell) -> tuple[str, ...]:
    """Return the side, the base model and the case of a cell."""
    return cell.side, cell.dimensions.get("base", ""), f"{cell.case}@{cell.dimensions.get('mode', '')}"
