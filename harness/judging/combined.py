"""Combine the records of several machines: what each backend makes of a case, and where backends disagree with the CPU.

Every other backend is compared with the CPU. The measure is the RMS difference of the two pictures, divided by the
effect of the adapter (also RMS) on the CPU.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.judging import expectation, oracle, unjudged
from harness.judging.expectation import Expectation
from harness.records import record
from harness.records.compact import sample
from harness.records.pictures import Pictures, Pixels
from harness.records.record import Cell, Records, Run, Side
from harness.records.verdict import FAILING, NOT_JUDGED, Status, Verdict
from harness.text import listed
from sdcpp.machine import backends
from sdcpp.source import revision

#: Backends that always have a column, even if no record is of them.
COLUMNS = ("cpu", "cuda", "vulkan", "metal")
#: The backend that the others are compared with.
REFERENCE = "cpu"
#: The largest difference between two backends in a case that has no tolerance because its pictures must be equal byte
#: for byte on one backend. Backends round differently and add in another order.
DEFAULT_BOUND = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedColumn:
    """One backend on one device. ``device`` is "" if no record is of the backend."""

    backend: str
    device: str = ""

    @property
    def label(self) -> str:
        """The heading of the column."""
        return f"{self.backend}, {self.device}" if self.device else self.backend


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRecord:
    """One side of one records file. ``tested`` are the base model, the name and the mode of each of its cells."""

    path: Path
    run: Run
    side: Side
    tested: frozenset[tuple[str, str, str]] = frozenset()

    @property
    def column(self) -> CombinedColumn:
        """The column of the side's cells."""
        return CombinedColumn(backend=self.side.backend, device=self.side.device or "device not recorded")

    @property
    def state(self) -> str:
        """The revision, and whether it was patched: ``2026-05 patched``."""
        return f"{self.side.revision} {'patched' if self.side.patched else 'pristine'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedSide:
    """A side that cannot be compared with the sides accepted before it, and the reason."""

    side_record: SideRecord
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRow:
    """One case in one apply mode on one base model: its cell in each column."""

    state: str
    base: str
    case: str
    mode: str
    cells: Mapping[CombinedColumn, Cell]

    @property
    def label(self) -> str:
        """The id of the case, ``CASE@MODE``."""
        return f"{self.case}@{self.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """The comparison of a cell with the cell of the reference column in the same row.

    ``error`` is the difference between the two pictures as an effect error, or None if there are no two pictures to
    compare. ``bound`` is the largest error that is allowed.
    """

    row: CombinedRow
    reference: CombinedColumn
    column: CombinedColumn
    error: float | None
    bound: float

    @property
    def verdicts(self) -> tuple[Verdict, Verdict]:
        """The verdicts of the reference and of the other column."""
        return self.row.cells[self.reference].verdict, self.row.cells[self.column].verdict

    @property
    def pictures_differ(self) -> bool:
        """Whether the verdicts are equal and yet the pictures differ by more than the bound."""
        return self.verdicts[0] == self.verdicts[1] and self.error is not None and self.error > self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRecords:
    """The combined records of several runs.

    Every status is derived again from the expectations given, not taken from the records. ``compared`` counts the pairs
    of pictures that were compared. ``complaints`` are the reasons why a run cannot be judged, with the names of the
    files: see ``unjudged.complaints``.
    """

    side_records: Sequence[SideRecord]
    excluded: Sequence[ExcludedSide]
    columns: Sequence[CombinedColumn]
    rows: Sequence[CombinedRow]
    pictures: Mapping[str, Pixels]
    disagreements: Sequence[Disagreement]
    compared: int
    complaints: Sequence[str] = ()

    @property
    def unjudged(self) -> int:
        """The number of cells that are not judged."""
        return sum(cell.verdict in NOT_JUDGED for row in self.rows for cell in row.cells.values())

    @property
    def failing(self) -> list[tuple[CombinedRow, CombinedColumn]]:
        """The cells whose status fails the run, as rows and columns."""
        return [
            (row, column) for row in self.rows for column, cell in row.cells.items() if cell.status in FAILING
        ]

    @property
    def states(self) -> list[str]:
        """The revisions, patched or pristine, in the order of the rows."""
        return list(dict.fromkeys(row.state for row in self.rows))


def read(paths: Iterable[Path]) -> list[tuple[Path, Records]]:
    """Return the records of each file. Raises FileInvalid for a file that holds no records."""
    return [(path, record.read(path)) for path in paths]


def combine(files: Sequence[tuple[Path, Records]], expected: Sequence[Expectation]) -> CombinedRecords:
    """Combine the records of several runs.

    If two runs have the same cell on the same device, the later run counts. Sides that cannot be compared with the
    others are excluded, not combined.
    """
    accepted, excluded = _accept_and_exclude(files)
    rows: dict[tuple[str, str, str, str], dict[CombinedColumn, Cell]] = {}
    pictures = Pictures()
    content = dict(files)
    cells_of: dict[Path, list[Cell]] = {}
    for side_record in sorted(accepted, key=lambda s: s.run.started):
        for cell in content[side_record.path].cells:
            if cell.side == side_record.side.label:
                key = side_record.state, cell.dimensions.get("base", ""), cell.case, cell.dimensions["mode"]
                judged = _with_status(cell, side_record.side, expected)
                rows.setdefault(key, {})[side_record.column] = judged
                cells_of.setdefault(side_record.path, []).append(judged)
        pictures.add(content[side_record.path].pictures)
    columns = _columns(accepted)
    order = {state: number for number, state in enumerate(sorted({s.state for s in accepted}))}
    combined_rows = [
        CombinedRow(state=state, base=base, case=case, mode=mode, cells=cells)
        for (state, base, case, mode), cells in sorted(rows.items(), key=lambda item: order[item[0][0]])
    ]
    comparisons = list(_compare(combined_rows, columns, pictures))
    return CombinedRecords(
        side_records=accepted,
        excluded=excluded,
        columns=columns,
        rows=combined_rows,
        pictures=pictures,
        disagreements=sorted(
            (c for c in comparisons if len(set(c.verdicts)) > 1 or c.pictures_differ),
            key=lambda c: (len(set(c.verdicts)) < 2, -(c.error or 0)),
        ),
        compared=sum(c.error is not None for c in comparisons),
        complaints=[
            f"{path.name}: {complaint}"
            for path, cells in cells_of.items()
            for complaint in unjudged.complaints(cells)
        ],
    )


def _accept_and_exclude(
    files: Sequence[tuple[Path, Records]],
) -> tuple[list[SideRecord], list[ExcludedSide]]:
    """Return the sides that can be compared with each other, and the others.

    The sides of CPU runs are accepted first, then the others in the order of the files.
    """
    side_records = [
        SideRecord(
            path=path,
            run=records.run,
            side=side,
            tested=frozenset(
                (cell.dimensions.get("base", ""), cell.case, cell.dimensions["mode"])
                for cell in records.cells
                if cell.side == side.label
            ),
        )
        for path, records in files
        for side in records.sides.values()
    ]
    accepted: list[SideRecord] = []
    excluded: list[ExcludedSide] = []
    for side_record in sorted(side_records, key=lambda s: s.side.backend != REFERENCE):
        reason = next((text for known in accepted if (text := incomparable(known, side_record))), "")
        if reason:
            excluded.append(ExcludedSide(side_record=side_record, reason=reason))
        else:
            accepted.append(side_record)
    return accepted, excluded


def incomparable(known: SideRecord, other: SideRecord) -> str:
    """Return why two sides must not be compared, or "" if they can be.

    For sides of the same revision the files of the base models must be equal, and for sides of the same state also
    upstream's source and the patches. Sides that have no cell in common have nothing to compare, so their patches may
    differ; ``number_of_patches`` tells them apart. Backend, options, compiler and machine may differ: they are what is
    compared. The identity of a build depends on them, so it is not looked at.
    """
    if known.side.revision != other.side.revision:
        return ""
    for name in known.side.bases.keys() & other.side.bases.keys():
        known_digest, other_digest = known.side.bases[name], other.side.bases[name]
        if known_digest != other_digest:
            return _difference(known, f"base model {name}", known_digest, other_digest)
    if known.state != other.state:
        return ""
    for key, what in (("commit", "upstream's commit"), ("base", "upstream's source")):
        known_value, other_value = (str(s.side.build.get(key) or "not recorded") for s in (known, other))
        if known_value != other_value:
            return _difference(known, what, known_value, other_value)
    known_patches, other_patches = (_patches(s.side) for s in (known, other))
    disjoint = bool(known.tested and other.tested) and not known.tested & other.tested
    if known_patches == other_patches or disjoint:
        return ""
    only_here, only_there = (
        listed(sorted(patches), 3) or "no other"
        for patches in (other_patches - known_patches, known_patches - other_patches)
    )
    return f"patches: {only_here} here, {only_there} in {known.path}"


def number_of_patches(side_records: Iterable[SideRecord], state: str) -> dict[int, list[str]]:
    """Return the base models of the sides of a state by the number of patches that these sides have."""
    found: dict[int, list[str]] = {}
    for each in side_records:
        if each.state == state:
            found.setdefault(len(_patches(each.side)), []).extend(base for base, *_ in each.tested)
    return {number: sorted(set(bases)) for number, bases in sorted(found.items())}


def _patches(side: Side) -> set[str]:
    return {f"{patch['name']} {patch['sha256'][:12]}" for patch in side.build.get("patches", ())}


def _difference(known: SideRecord, what: str, known_value: str, other_value: str) -> str:
    return f"{what}: {other_value[:12]} here, {known_value[:12]} in {known.path}"


@functools.cache
def _lacks(name: str) -> Mapping[str, str]:
    """Return the features that a named revision lacks, and the reasons; none for other sources."""
    known = revision.load().get(name)
    return dict(known.lacks) if known else {}


def _with_status(cell: Cell, side: Side, expected: Sequence[Expectation]) -> Cell:
    container = cell.dimensions.get("container", "")
    if cell.verdict is Verdict.UNSUPPORTED and (missing := _lacks(side.revision).get(container)):
        return replace(cell, status=Status.XFAIL, reason=missing)
    patches = [patch["name"] for patch in side.build.get("patches", ())]
    status, reason = expectation.status_and_reason(
        cell.verdict,
        expected,
        patches=patches,
        revision=side.revision,
        backend=side.backend,
        case=cell.case,
        dimensions=cell.dimensions,
    )
    return replace(cell, status=status, reason=reason)


def _columns(side_records: Iterable[SideRecord]) -> list[CombinedColumn]:
    """Return a column for each device of the records, and one for each backend of ``COLUMNS`` that has no records."""
    used = dict.fromkeys(side_record.column for side_record in side_records)
    backends_used = {column.backend for column in used}
    empty = [CombinedColumn(backend=name) for name in COLUMNS if name not in backends_used]
    order = list(backends.BACKENDS)
    return sorted([*used, *empty], key=lambda column: order.index(column.backend))


def _compare(
    rows: Iterable[CombinedRow], columns: Sequence[CombinedColumn], pictures: Mapping[str, Pixels]
) -> Iterator[Disagreement]:
    """Yield the comparison of every cell with the reference cell of its row, including those that agree."""
    rows = list(rows)
    effects: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for column, cell in row.cells.items():
            # Cells of malformed files have no tolerance; their adapter is another one.
            if column.backend == REFERENCE and cell.effect and cell.tolerance is not None:
                effects.setdefault((row.state, row.base), []).append(cell.effect)
    for row in rows:
        reference = next((c for c in columns if c.backend == REFERENCE and c in row.cells), None)
        if reference is None:
            continue
        reference_cell = row.cells[reference]
        # A case that must not change the picture has no effect. The median effect on its base model is used instead.
        usual = effects.get((row.state, row.base))
        scale = reference_cell.effect or (statistics.median(usual) if usual else None)
        for column in columns:
            if column != reference and column in row.cells:
                cell = row.cells[column]
                yield Disagreement(
                    row=row,
                    reference=reference,
                    column=column,
                    error=_error(reference_cell, cell, pictures, scale),
                    bound=cell.tolerance or _bound(column.backend),
                )


def _bound(backend: str) -> float:
    tolerance = oracle.BACKEND_TOLERANCES.get(backend)
    return tolerance.bound if tolerance else DEFAULT_BOUND


def _error(reference: Cell, other: Cell, pictures: Mapping[str, Pixels], scale: float | None) -> float | None:
    digests = reference.pictures.get("got"), other.pictures.get("got")
    first, second = (pictures.get(digest) if digest else None for digest in digests)
    # Cells with different ``asked`` are about files of the same name with other contents.
    if first is None or second is None or not scale or reference.asked != other.asked:
        return None
    if first.size != second.size:  # one file has whole pictures, the other has samples
        first, second = (p if p.size == min(first.size, second.size) else sample(p) for p in (first, second))
    return oracle.rms(first, second) / scale if first.shape == second.shape else None
