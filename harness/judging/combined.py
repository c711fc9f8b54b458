"""Runs of many machines as one table: which can be compared, what each backend makes of a case, where they disagree.

One oracle is here: every other backend equals the CPU. Its measure is the effect error of one picture against the
CPU's: the RMS difference of the two pictures over the RMS effect that the CPU's own wanted picture shows.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.judging import expectation, oracle
from harness.judging.expectation import Expectation
from harness.records import record
from harness.records.compact import sample
from harness.records.record import Cell, Pixels, Records, Run, Side
from harness.records.verdict import FAILING, Verdict
from harness.text import listed
from sdcpp.machine import backends

#: Backends that have a column whether or not anybody has run them.
COLUMNS = ("cpu", "cuda", "vulkan", "metal")
#: The backend that others are compared with.
REFERENCE = "cpu"
#: Bound on the disagreement where a case has no tolerance of its own, because it must be equal to the byte on one
#: backend: rounding of pixels, and sums in another order.
ROUNDING = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedColumn:
    """A backend on one device; ``device`` is "" where nobody has run it."""

    backend: str
    device: str = ""

    @property
    def label(self) -> str:
        """The head of the column."""
        return f"{self.backend}, {self.device}" if self.device else self.backend


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRecord:
    """One side of one file."""

    path: Path
    run: Run
    side: Side

    @property
    def column(self) -> CombinedColumn:
        """Where its cells stand."""
        return CombinedColumn(backend=self.side.backend, device=self.side.device or "device not recorded")

    @property
    def state(self) -> str:
        """The state of upstream's source that was built, as a title: ``2026-05 patched``."""
        return f"{self.side.revision} {'patched' if self.side.patched else 'pristine'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A side that cannot be compared with those joined before it, and why."""

    entry: SideRecord
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRow:
    """One case in one mode on one base model, and what each column has of it."""

    state: str
    base: str
    case: str
    mode: str
    cells: Mapping[CombinedColumn, Cell]

    @property
    def label(self) -> str:
        """Its name in a table of one state."""
        return f"{self.case}@{self.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A column that does not do in a row what the reference does.

    ``error`` is the effect error against the reference's picture, None where there are no two pictures that can be
    compared; ``bound`` is what it may be.
    """

    row: CombinedRow
    reference: CombinedColumn
    column: CombinedColumn
    error: float | None
    bound: float

    @property
    def verdicts(self) -> tuple[Verdict, Verdict]:
        """The reference's verdict and the other's."""
        return self.row.cells[self.reference].verdict, self.row.cells[self.column].verdict

    @property
    def unexplained(self) -> bool:
        """Whether the pictures differ although both are said to be right."""
        return self.verdicts[0] == self.verdicts[1] and self.error is not None and self.error > self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRecords:
    """All runs as one. Standings are those by the expectations of today, not of the day of the run."""

    entries: Sequence[SideRecord]
    refused: Sequence[Refusal]
    columns: Sequence[CombinedColumn]
    rows: Sequence[CombinedRow]
    pictures: Mapping[str, Pixels]
    disagreements: Sequence[Disagreement]
    compared: int

    @property
    def failing(self) -> list[tuple[CombinedRow, CombinedColumn]]:
        """What is not as the expectations say."""
        return [
            (row, column) for row in self.rows for column, cell in row.cells.items() if cell.status in FAILING
        ]

    @property
    def states(self) -> list[str]:
        """The states of upstream's source that were run, in order of appearance."""
        return list(dict.fromkeys(row.state for row in self.rows))


def read(paths: Iterable[Path]) -> list[tuple[Path, Records]]:
    """Read records files; raises FileInvalid for one that is none."""
    return [(path, record.read(path)) for path in paths]


def combine(files: Sequence[tuple[Path, Records]], expected: Sequence[Expectation]) -> CombinedRecords:
    """Join runs; of two runs of one state on one device the later one counts, cell by cell."""
    entries, refused = _sort_out(files)
    rows: dict[tuple[str, str, str, str], dict[CombinedColumn, Cell]] = {}
    pictures: dict[str, Pixels] = {}
    content = dict(files)
    for entry in sorted(entries, key=lambda e: e.run.started):
        for cell in content[entry.path].cells:
            if cell.side == entry.side.label:
                place = entry.state, cell.dimensions.get("base", ""), cell.case, cell.dimensions["mode"]
                rows.setdefault(place, {})[entry.column] = _with_status(cell, entry.side, expected)
        pictures |= content[entry.path].pictures
    columns = _columns(entries)
    states = {state: number for number, state in enumerate(sorted({e.state for e in entries}))}
    made = [
        CombinedRow(state=state, base=base, case=case, mode=mode, cells=cells)
        for (state, base, case, mode), cells in sorted(rows.items(), key=lambda item: states[item[0][0]])
    ]
    compared = list(_compared(made, columns, pictures))
    return CombinedRecords(
        entries=entries,
        refused=refused,
        columns=columns,
        rows=made,
        pictures=pictures,
        disagreements=sorted(
            (found for found in compared if len(set(found.verdicts)) > 1 or found.unexplained),
            key=lambda found: (len(set(found.verdicts)) < 2, -(found.error or 0)),
        ),
        compared=sum(found.error is not None for found in compared),
    )


def _sort_out(files: Sequence[tuple[Path, Records]]) -> tuple[list[SideRecord], list[Refusal]]:
    """Return the sides that can be compared and those that cannot; CPU runs decide, then the order of the files."""
    every = [
        SideRecord(path=path, run=records.run, side=side)
        for path, records in files
        for side in records.sides.values()
    ]
    accepted: list[SideRecord] = []
    refused: list[Refusal] = []
    for entry in sorted(every, key=lambda e: e.side.backend != REFERENCE):
        reason = next((text for known in accepted if (text := incomparable(known, entry))), "")
        if reason:
            refused.append(Refusal(entry=entry, reason=reason))
        else:
            accepted.append(entry)
    return accepted, refused


def incomparable(known: SideRecord, other: SideRecord) -> str:
    """Return why two sides cannot stand in one table, "" if they can.

    What must be equal is what they are made from: upstream's source, the patches, the files of the base models.
    Backend, options, compiler and machine are what is compared; a build's identity holds them all, so it says
    nothing here.
    """
    for name in known.side.bases.keys() & other.side.bases.keys():
        ours, theirs = known.side.bases[name], other.side.bases[name]
        if ours != theirs:
            return _differs(known, f"base model {name}", ours, theirs)
    if known.state != other.state:
        return ""
    for name in ("commit", "base"):
        ours, theirs = (str(e.side.build.get(name) or "not recorded") for e in (known, other))
        if ours != theirs:
            return _differs(
                known, "upstream's commit" if name == "commit" else "upstream's source", ours, theirs
            )
    there, here = (_patches(e.side) for e in (known, other))
    if there == here:
        return ""
    more, less = (listed(sorted(some), 3) or "nothing else" for some in (here - there, there - here))
    return f"patches: {more} here, {less} in {known.path}"


def _patches(side: Side) -> set[str]:
    return {f"{patch['name']} {patch['sha256'][:12]}" for patch in side.build.get("patches", ())}


def _differs(known: SideRecord, what: str, ours: str, theirs: str) -> str:
    return f"{what}: {theirs[:12]} here, {ours[:12]} in {known.path}"


def _with_status(cell: Cell, side: Side, expected: Sequence[Expectation]) -> Cell:
    patches = [patch["name"] for patch in side.build.get("patches", ())]
    stands, reason = expectation.stand(
        cell.verdict,
        expected,
        patches=patches,
        revision=side.revision,
        backend=side.backend,
        case=cell.case,
        dimensions=cell.dimensions,
    )
    return replace(cell, status=stands, reason=reason)


def _columns(entries: Iterable[SideRecord]) -> list[CombinedColumn]:
    """Return a column for each device that was used, and one for each promised backend that was not."""
    found = dict.fromkeys(entry.column for entry in entries)
    run = {column.backend for column in found}
    empty = [CombinedColumn(backend=name) for name in COLUMNS if name not in run]
    order = list(backends.BACKENDS)
    return sorted([*found, *empty], key=lambda column: order.index(column.backend))


def _compared(
    rows: Iterable[CombinedRow], columns: Sequence[CombinedColumn], pictures: Mapping[str, Pixels]
) -> Iterator[Disagreement]:
    """Yield the comparison of every cell with the reference's in its row, those that agree too."""
    rows = list(rows)
    effects: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for column, cell in row.cells.items():
            if (
                column.backend == REFERENCE and cell.effect and cell.tolerance is not None
            ):  # no broken file's adapter
                effects.setdefault((row.state, row.base), []).append(cell.effect)
    for row in rows:
        reference = next((c for c in columns if c.backend == REFERENCE and c in row.cells), None)
        if reference is None:
            continue
        ours = row.cells[reference]
        # A case that must change nothing has no effect of its own: the usual one of its base model is the measure.
        usual = effects.get((row.state, row.base))
        scale = ours.effect or (statistics.median(usual) if usual else None)
        for column in columns:
            if column != reference and column in row.cells:
                theirs = row.cells[column]
                yield Disagreement(
                    row=row,
                    reference=reference,
                    column=column,
                    error=_error(ours, theirs, pictures, scale),
                    bound=theirs.tolerance or _bound(column.backend),
                )


def _bound(backend: str) -> float:
    return oracle.INEXACT[backend].bound if backend in oracle.INEXACT else ROUNDING


def _error(ours: Cell, theirs: Cell, pictures: Mapping[str, Pixels], scale: float | None) -> float | None:
    names = ours.pictures.get("got"), theirs.pictures.get("got")
    first, second = (pictures.get(name) if name else None for name in names)
    if first is None or second is None or not scale or ours.asked != theirs.asked:
        return None  # asked: files of one name that hold other values
    if first.size != second.size:  # one file has whole pictures, the other samples
        first, second = (p if p.size == min(first.size, second.size) else sample(p) for p in (first, second))
    return oracle.rms(first, second) / scale if first.shape == second.shape else None
