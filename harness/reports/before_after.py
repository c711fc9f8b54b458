"""Before and after: the same cases on two sides of one revision, which differ in patches or in a checkout's state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.record import Cell, Side
from harness.records.verdict import UNTRIED, Status, Verdict, worse
from harness.reports.table import ReportTable, TableRow
from harness.reports.vocabulary import headline_error, worst
from harness.text import number, plural

#: What may have become of a cell, worst first.
KINDS = ("regressed", "changed", "fixed", "unchanged", "one side only")


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePair:
    """Two sides that differ in the patches, or in the state of a checkout, only."""

    before: Side
    after: Side
    label: str

    @property
    def words(self) -> tuple[str, str]:
        """What tells the sides apart: ("pristine", "patched")."""
        before, after = (side.label.removeprefix(side.revision).strip() for side in (self.before, self.after))
        return before, after


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one case between the sides of a pair."""

    row: TableRow
    mode: str
    before: Cell | None
    after: Cell | None

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        if self.before is None or self.after is None:
            return "one side only"
        if self.before.verdict == self.after.verdict:
            return "unchanged"
        if worse(self.before.verdict, self.after.verdict):
            return "regressed"
        fixed = self.after.verdict is Verdict.PASS and self.before.status is not Status.SKIPPED
        return "fixed" if fixed else "changed"

    @property
    def tried(self) -> bool:
        """Whether the library showed on either side what it does."""
        return any(cell is not None and cell.verdict not in UNTRIED for cell in (self.before, self.after))

    @property
    def repainted(self) -> bool:
        """Whether both sides made a picture and the pictures differ."""
        both = [cell.pictures.get("got") for cell in (self.before, self.after) if cell]
        return len(both) == 2 and None not in both and both[0] != both[1]


def pairs(view: ReportTable) -> list[SidePair]:
    """Return the pairs of a run: each patched side with the pristine one of its revision and backend."""
    found = []
    pristine = {(side.revision, side.backend): side for side in reversed(view.sides) if not side.patched}
    several = len({side.backend for side in view.sides}) > 1
    for side in view.sides:
        before = pristine.get((side.revision, side.backend))
        if side.patched and before:
            label = f"{side.revision} {side.backend}" if several else side.revision
            found.append(SidePair(before=before, after=side, label=label))
    return found


def alone(view: ReportTable, found: Sequence[SidePair]) -> list[Side]:
    """Return the sides that belong to no pair."""
    paired = {side.label for pair in found for side in (pair.before, pair.after)}
    return [side for side in view.sides if side.label not in paired]


def modes(view: ReportTable, *sides: Side) -> list[str]:
    """Return the values of the dimension across that some sides have, in the table's order."""
    return list(dict.fromkeys(column.mode for column in view.columns_of(sides)))


def changes(view: ReportTable, pair: SidePair) -> list[Change]:
    """Return what became of every case that either side has."""
    found = []
    across = modes(view, pair.before, pair.after)
    for row in view.rows:
        for mode in across:
            before = row.cells.get((pair.before.label, mode))
            after = row.cells.get((pair.after.label, mode))
            if before or after:
                found.append(Change(row=row, mode=mode, before=before, after=after))
    return found


def tally(found: Iterable[Change]) -> str:
    """Return one line of counts: ``12 fixed, 0 regressed, 27 unchanged``."""
    found = list(found)
    counts = Counter(change.kind for change in found)
    parts = [f"{counts['fixed']} fixed", f"{counts['regressed']} regressed"]
    parts += [f"{counts['changed']} otherwise changed"] if counts["changed"] else []
    repainted = sum(change.repainted for change in found if change.kind == "unchanged")
    other = f" ({repainted} of them with other pixels)" if repainted else ""
    parts.append(f"{counts['unchanged']} unchanged{other}")
    parts += [f"{counts['one side only']} on one side only"] if counts["one side only"] else []
    return ", ".join(parts)


def summary(view: ReportTable, pair: SidePair) -> str:
    """Return what became of a pair's cases in one line, or that there is one build only."""
    if same := view.records.run.proposal.get(pair.before.revision, {}).get("same"):
        return f"0 fixed, 0 regressed, {same} unchanged (not run: both states compile to the same objects)"
    if same_build(pair):
        return "no patch is for it, both sides are one build"
    return tally(changes(view, pair))


def kept(found: Iterable[Change]) -> str:
    """Return, for each base model, how many of the cells that passed before still do, and how many to the byte."""
    passed: dict[str, list[Change]] = {}
    for each in found:
        if each.before and each.after and each.before.verdict is Verdict.PASS:
            passed.setdefault(each.before.dimensions.get("base", "any"), []).append(each)
    return "; ".join(
        f"{base}: {sum(each.after is not None and each.after.verdict is Verdict.PASS for each in those)} of "
        f"{plural(len(those), 'cell')} that passed still do, "
        f"{sum(not each.repainted and each.kind == 'unchanged' for each in those)} with the same picture to the byte"
        for base, those in passed.items()
    )


def same_build(pair: SidePair) -> bool:
    """Tell whether both sides are one build, as they are where no patch applies."""
    return bool(pair.before.identity) and pair.before.identity == pair.after.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Some rows of a table that say the same, as one line of a summary; ``severity`` sorts, least first."""

    label: str
    texts: tuple[str, ...]
    rows: tuple[TableRow, ...]
    severity: int


def cost_rows(view: ReportTable, sides: Sequence[Side], *, merge_all: bool, limit: int = 12) -> list[CostRow]:
    """Return the table of one or two sides (before, after) with a column for each mode, worst line first.

    Rows in which nothing changed and that say the same are merged; with ``merge_all`` all that say the same.
    A number then is the largest among the merged rows.
    """
    across = modes(view, *sides)
    groups: dict[tuple[object, ...], list[TableRow]] = {}
    for number_, row in enumerate(view.rows):
        cells = [[row.cells.get((side.label, mode)) for side in sides] for mode in across]
        if not any(cell for both in cells for cell in both):
            continue
        saying = tuple(tuple(cell and (cell.verdict, cell.status) for cell in both) for both in cells)
        quiet = all(len({cell.verdict if cell else None for cell in both}) == 1 for both in cells)
        calm = worst(cell for both in cells for cell in both if cell) > 1
        groups.setdefault((saying,) if merge_all or (quiet and calm) else (saying, number_), []).append(row)
    found = [
        CostRow(
            label=view.names(rows, limit),
            texts=tuple(_text(rows, sides, mode) for mode in across),
            rows=tuple(rows),
            severity=_severity(rows[0], sides),
        )
        for rows in groups.values()
    ]
    return sorted(found, key=lambda line: line.severity)


def _severity(row: TableRow, sides: Sequence[Side]) -> int:
    labels = [side.label for side in sides]
    here = [cell for (side, _), cell in row.cells.items() if side in labels]
    state = worst(here)
    if state <= 1:
        return state
    by_mode: dict[str, set[str]] = {}
    for (side, mode), cell in row.cells.items():
        if side in labels:
            by_mode.setdefault(mode, set()).add(cell.verdict)
    return 2 if any(len(verdicts) > 1 for verdicts in by_mode.values()) else state + 1


def _text(rows: Sequence[TableRow], sides: Sequence[Side], mode: str) -> str:
    parts = []
    for side in sides:
        cells = [cell for row in rows if (cell := row.cells.get((side.label, mode)))]
        if not cells:
            parts.append("–")
            continue
        errors = [error for cell in cells if (error := headline_error(cell)) is not None]
        most = f" {'≤ ' if len(set(map(number, errors))) > 1 else ''}{number(max(errors))}" if errors else ""
        parts.append(f"{cells[0].verdict}{most}")
    verdicts = [part.split(" ")[0] for part in parts]
    if len(parts) == 2 and verdicts[0] == verdicts[1]:
        return parts[1]
    return " -> ".join([*verdicts[:-1], parts[-1]])


def by_value(found: Iterable[Change], dimension: str) -> Mapping[str, Counter[tuple[str, str]]]:
    """Return, for each value of a dimension, how many cases went from which verdict to which."""
    table: dict[str, Counter[tuple[str, str]]] = {}
    for change in found:
        cell = change.after or change.before
        value = cell.dimensions.get(dimension, "") if cell else ""
        passage = (
            str(change.before.verdict) if change.before else "–",
            str(change.after.verdict) if change.after else "–",
        )
        table.setdefault(value, Counter())[passage] += 1
    return table


def sentence(view: ReportTable, found: Sequence[SidePair]) -> str:
    """Return what the run says, in one sentence without a full stop.

    A run in which nothing was tried, and one that did not reach its end, is never called good.
    """
    if view.records.run.proposal:
        return _verdict(view, found)
    counts, total = view.statuses, len(view.records.cells)
    if total == counts.get(Status.SKIPPED, 0):
        return "Nothing was tried, so nothing is known" + (
            f" ({plural(total, 'cell')} idle)" if total else ""
        )
    red, stale = counts.get(Status.UNEXPECTED, 0), counts.get(Status.XPASS, 0)
    verdicts = Counter(str(cell.verdict) for cell in view.records.cells if cell.status is Status.UNEXPECTED)
    parts = []
    if red:
        kinds = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        parts.append(f"{red} of {plural(total, 'cell')} failed unexpectedly ({kinds})")
    if stale:
        parts.append(f"{plural(stale, 'cell')} passed against an expectation that must go")
    if not parts:
        parts.append(f"As expected: {counts.get(Status.PASS, 0)} of {plural(total, 'cell')} passed")
    if counts.get(Status.XFAIL, 0):
        parts.append(f"{counts[Status.XFAIL]} failed in a known way")
    text = ", ".join(parts)
    apart = [pair for pair in found if not same_build(pair)]
    became = Counter(change.kind for pair in apart for change in changes(view, pair))
    if became["fixed"] or became["regressed"]:
        text += (
            f"; the patches fix {plural(became['fixed'], 'cell')} and break {became['regressed'] or 'none'}"
        )
    elif became:
        text += "; the patches change no case to PASS and none from it"
    return text if view.records.finished else f"Incomplete run so far: {text[0].lower()}{text[1:]}"


def _verdict(view: ReportTable, found: Sequence[SidePair]) -> str:
    """Return what a proposed change does, in one sentence."""
    became = [each for pair in found for each in changes(view, pair)]
    same = any(facts["same"] for facts in view.records.run.proposal.values())
    if not view.records.finished:
        word = "Incomplete run so far"
    elif any(each.kind == "regressed" for each in became):
        word = "The change makes something worse"
    elif not same and not any(each.tried for each in became):
        word = "Nothing was tried, so nothing is known"
    else:
        word = "The change makes nothing worse"
    several = len(found) > 1
    return f"{word}: " + "; ".join(
        (f"{pair.label}: " if several else "") + summary(view, pair) for pair in found
    )
