"""Compare the same cases on two sides of one revision: pristine and patched, or before and after a change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.change import ChangeKind, change_kind
from harness.records.record import Cell, Side
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.reports.table import ReportTable, TableRow
from harness.reports.vocabulary import headline_error, severity
from harness.text import number, plural


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePair:
    """Two sides of one revision and backend: before and after the patches or a change."""

    before: Side
    after: Side
    label: str

    @property
    def names(self) -> tuple[str, str]:
        """The labels of the sides without the revision, such as ("pristine", "patched")."""
        before, after = (side.label.removeprefix(side.revision).strip() for side in (self.before, self.after))
        return before, after


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One case on both sides of a pair. A cell is None if the case did not run on that side."""

    row: TableRow
    mode: str
    before: Cell | None
    after: Cell | None

    @property
    def kind(self) -> ChangeKind:
        """The kind of the change."""
        return change_kind(self.before, self.after)

    @property
    def tried(self) -> bool:
        """Whether the case was judged on at least one side, or was found to be unstable."""
        return self.kind is ChangeKind.UNSTABLE or (
            self.kind is not ChangeKind.NOT_JUDGED
            and any(cell is not None and cell.verdict not in NOT_JUDGED for cell in (self.before, self.after))
        )

    @property
    def pixels_differ(self) -> bool:
        """Whether both sides made a picture and the two pictures are not equal."""
        digests = [cell.pictures.get("got") for cell in (self.before, self.after) if cell]
        return len(digests) == 2 and None not in digests and digests[0] != digests[1]


def pairs(table: ReportTable) -> list[SidePair]:
    """Return a pair for each patched side that has a pristine side of the same revision and backend."""
    found = []
    pristine = {(side.revision, side.backend): side for side in reversed(table.sides) if not side.patched}
    several_backends = len({side.backend for side in table.sides}) > 1
    for side in table.sides:
        before = pristine.get((side.revision, side.backend))
        if side.patched and before:
            label = f"{side.revision} {side.backend}" if several_backends else side.revision
            found.append(SidePair(before=before, after=side, label=label))
    return found


def unpaired_sides(table: ReportTable, pairs: Sequence[SidePair]) -> list[Side]:
    """Return the sides that are in none of the pairs."""
    paired = {side.label for pair in pairs for side in (pair.before, pair.after)}
    return [side for side in table.sides if side.label not in paired]


def modes(table: ReportTable, *sides: Side) -> list[str]:
    """Return the apply modes of some sides, in the order of the table's columns."""
    return list(dict.fromkeys(column.mode for column in table.columns_of(sides)))


def changes(table: ReportTable, pair: SidePair) -> list[Change]:
    """Return a change for every case and mode that ran on at least one side of the pair."""
    found = []
    pair_modes = modes(table, pair.before, pair.after)
    for row in table.rows:
        for mode in pair_modes:
            before = row.cells.get((pair.before.label, mode))
            after = row.cells.get((pair.after.label, mode))
            if before or after:
                found.append(Change(row=row, mode=mode, before=before, after=after))
    return found


def tally(changes: Iterable[Change]) -> str:
    """Return how many changes of each kind there are: ``12 fixed, 0 regressed, 27 unchanged``."""
    of_kind: dict[ChangeKind, list[Change]] = {kind: [] for kind in ChangeKind}
    for found in changes:
        of_kind[found.kind].append(found)
    counts = {kind: len(some) for kind, some in of_kind.items()}
    parts = [
        f"{counts[ChangeKind.FIXED]} fixed",
        f"{counts[ChangeKind.REGRESSED]} regressed"
        + _of_them(of_kind[ChangeKind.REGRESSED], NOT_JUDGED, "not judged any more"),
    ]
    if counts[ChangeKind.CHANGED]:
        parts.append(f"{counts[ChangeKind.CHANGED]} changed otherwise")
    if counts[ChangeKind.UNSTABLE]:
        only_after = sum(
            found.before is not None and found.before.verdict is not Verdict.UNSTABLE
            for found in of_kind[ChangeKind.UNSTABLE]
        )
        note = f" ({only_after} of them only after the change)" if only_after else ""
        parts.append(f"{counts[ChangeKind.UNSTABLE]} unstable{note}")
    if counts[ChangeKind.NOT_JUDGED]:
        parts.append(f"{counts[ChangeKind.NOT_JUDGED]} not judged")
    if counts[ChangeKind.JUDGED_NOW]:
        note = (
            _of_them(of_kind[ChangeKind.JUDGED_NOW], {Verdict.PASS}, "pass now")
            or " (none of them passes now)"
        )
        parts.append(f"{counts[ChangeKind.JUDGED_NOW]} not judged before{note}")
    other_pixels = sum(found.pixels_differ for found in of_kind[ChangeKind.UNCHANGED])
    note = f" ({other_pixels} of them with different pixels)" if other_pixels else ""
    parts.append(f"{counts[ChangeKind.UNCHANGED]} unchanged{note}")
    if counts[ChangeKind.ONE_SIDE]:
        parts.append(f"{counts[ChangeKind.ONE_SIDE]} on one side only")
    return ", ".join(parts)


def _of_them(changes: Iterable[Change], verdicts: Collection[Verdict], words: str) -> str:
    """Return how many of the changes have one of these verdicts after the change, or "" if none has."""
    count = sum(found.after is not None and found.after.verdict in verdicts for found in changes)
    return f" ({count} of them {words})" if count else ""


def summary(table: ReportTable, pair: SidePair) -> str:
    """Return the tally of a pair, or the reason why its two sides cannot differ."""
    if same := table.records.run.proposal.get(pair.before.revision, {}).get("same"):
        return f"0 fixed, 0 regressed, {same} unchanged (not run: both states compile to the same objects)"
    if same_build(pair):
        return "no patch applies, so both sides are the same build"
    return tally(changes(table, pair))


def still_passing(changes: Iterable[Change]) -> str:
    """Return, for each base model, how many cells that passed before pass after, and with the same picture.

    Unstable cells are left out.
    """
    passed: dict[str, list[Change]] = {}
    for change in changes:
        if change.kind is ChangeKind.UNSTABLE:
            continue
        if change.before and change.after and change.before.verdict is Verdict.PASS:
            passed.setdefault(change.before.dimensions.get("base", "any"), []).append(change)
    return "; ".join(
        f"{base}: {sum(c.after is not None and c.after.verdict is Verdict.PASS for c in group)} of "
        f"{plural(len(group), 'cell')} that passed still pass, "
        f"{sum(not c.pixels_differ and c.kind is ChangeKind.UNCHANGED for c in group)} with the same picture byte for "
        "byte"
        for base, group in passed.items()
    )


def same_build(pair: SidePair) -> bool:
    """Tell whether both sides are the same build, which they are if no patch applies."""
    return bool(pair.before.identity) and pair.before.identity == pair.after.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """Table rows with equal verdicts, as one row of a summary. ``severity`` sorts summary rows, the worst first."""

    label: str
    texts: tuple[str, ...]
    rows: tuple[TableRow, ...]
    severity: int


def summary_rows(
    table: ReportTable, sides: Sequence[Side], *, merge_all: bool, limit: int = 12
) -> list[SummaryRow]:
    """Return the table of one side or of two (before, after), with a text for each mode, the worst rows first.

    Rows with equal verdicts and statuses become one row if no verdict changed and nothing is unexpected, and with
    ``merge_all`` in any case. The effect error in such a row is the largest of the merged rows.
    """
    side_modes = modes(table, *sides)
    groups: dict[tuple[object, ...], list[TableRow]] = {}
    for index, row in enumerate(table.rows):
        by_mode = [[row.cells.get((side.label, mode)) for side in sides] for mode in side_modes]
        if not any(cell for cells in by_mode for cell in cells):
            continue
        outcomes = tuple(tuple(cell and (cell.verdict, cell.status) for cell in cells) for cells in by_mode)
        unchanged = all(len({cell.verdict if cell else None for cell in cells}) == 1 for cells in by_mode)
        expected = severity(cell for cells in by_mode for cell in cells if cell) > 1
        merge = merge_all or (unchanged and expected)
        groups.setdefault((outcomes,) if merge else (outcomes, index), []).append(row)
    found = [
        SummaryRow(
            label=table.names(rows, limit),
            texts=tuple(_text(rows, sides, mode) for mode in side_modes),
            rows=tuple(rows),
            severity=_severity(rows[0], sides),
        )
        for rows in groups.values()
    ]
    return sorted(found, key=lambda row: row.severity)


def _severity(row: TableRow, sides: Sequence[Side]) -> int:
    """Return the severity of a row's statuses, with a rank of its own for rows in which a verdict changed."""
    labels = [side.label for side in sides]
    rank = severity(cell for (side, _), cell in row.cells.items() if side in labels)
    if rank <= 1:
        return rank
    verdicts: dict[str, set[str]] = {}
    for (side, mode), cell in row.cells.items():
        if side in labels:
            verdicts.setdefault(mode, set()).add(cell.verdict)
    return 2 if any(len(found) > 1 for found in verdicts.values()) else rank + 1


def _text(rows: Sequence[TableRow], sides: Sequence[Side], mode: str) -> str:
    parts = []
    for side in sides:
        cells = [cell for row in rows if (cell := row.cells.get((side.label, mode)))]
        if not cells:
            parts.append("–")
            continue
        errors = [error for cell in cells if (error := headline_error(cell)) is not None]
        sign = "≤ " if len(set(map(number, errors))) > 1 else ""
        parts.append(f"{cells[0].verdict}{f' {sign}{number(max(errors))}' if errors else ''}")
    verdicts = [part.split(" ")[0] for part in parts]
    if len(parts) == 2 and verdicts[0] == verdicts[1]:
        return parts[1]
    return " -> ".join([*verdicts[:-1], parts[-1]])


def count_by_value(changes: Iterable[Change], dimension: str) -> Mapping[str, Counter[tuple[str, str]]]:
    """Return, for each value of a dimension, how often each pair of verdicts (before, after) occurs."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for change in changes:
        cell = change.after or change.before
        value = cell.dimensions.get(dimension, "") if cell else ""
        verdicts = (
            str(change.before.verdict) if change.before else "–",
            str(change.after.verdict) if change.after else "–",
        )
        counts.setdefault(value, Counter())[verdicts] += 1
    return counts
