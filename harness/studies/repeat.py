"""Whether the same spec gets the same answer again: pictures to the byte, and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.records.record import Cell, Observation, Records
from harness.verification.run import run_sides
from sdcpp import console


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One of several runs of the same cases: its number, its count of workers, and what came of it."""

    number: int
    jobs: int
    records: Records

    @property
    def name(self) -> str:
        """What it is called where it differs from the first."""
        return f"round {self.number} ({self.jobs} worker{'s' if self.jobs > 1 else ''})"


def rounds(
    contenders: Sequence[BuildUnderTest], folder: Path, *, jobs: Sequence[int], times: int, command: str
) -> Iterator[Repetition]:
    """Run the cases ``times`` times with each of the counts of workers; the first round is what others must equal.

    Rounds that are finished already are reused.
    """
    plan = [count for count in jobs for _ in range(times)]
    for number, count in enumerate(plan, 1):
        console.note(f"round {number} of {len(plan)}, {count} workers")
        part = folder / f"round-{number}-of-{count}"
        title = f"round {number}"
        records = run_sides(contenders, part, title=title, command=command, jobs=count, reuse=True)
        yield Repetition(number=number, jobs=count, records=records)


def differences(first: Records, other: Records) -> Iterator[str]:
    """Yield every shot whose outcome or picture differs, and every case whose verdict does."""
    for (build, shot), seen in first.observations.items():
        again = other.observations.get((build, shot))
        if again is None or (seen.outcome, seen.picture) != (again.outcome, again.picture):
            yield f"{shot}: {_said(seen)}, then {_said(again)}"
    later = {_key(cell): cell.verdict for cell in other.cells}
    for cell in first.cells:
        if later.get(_key(cell)) is not cell.verdict:
            yield f"{' '.join(_key(cell))}: {cell.verdict}, then {later.get(_key(cell), 'nothing')}"


def _said(seen: Observation | None) -> str:
    return "nothing" if seen is None else f"{seen.outcome} {(seen.picture or '')[:12]}".strip()


def _key(cell: Cell) -> tuple[str, ...]:
    return cell.side, cell.dimensions.get("base", ""), f"{cell.case}@{cell.dimensions.get('mode', '')}"
