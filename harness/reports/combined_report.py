"""The report on the combined records of several machines: its groups and sentences, and Markdown for CI."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.judging.combined import CombinedColumn, CombinedRecords, CombinedRow, Disagreement, SideRecord
from harness.records.record import Cell
from harness.records.verdict import FAILING, Verdict
from harness.reports import builds, markdown
from harness.reports.markdown import code, escape
from harness.reports.vocabulary import SIGNS, severity, verdict_text
from harness.text import listed, number, one_line, plural
from sdcpp.machine.backends import BACKENDS

#: The largest size of a step summary on GitHub, in bytes. A longer summary is not shown at all.
LIMIT = 1 << 20
#: The largest number of disagreements, of failures and of rows of a table in the Markdown.
LINES = 40
#: Verdicts whose evidence quotes the library. The quotation distinguishes different causes.
_QUOTED = frozenset(
    {
        *(Verdict.ABORT, Verdict.TIMEOUT, Verdict.REFUSED),
        *(Verdict.MISDIRECTED, Verdict.UNJUDGED, Verdict.UNSTABLE),
    }
)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows of one state with the same verdicts, statuses and reasons in every column."""

    rows: Sequence[CombinedRow]

    @property
    def label(self) -> str:
        """The ids of the first cases, and the number of the others."""
        return _names(row.label for row in self.rows)

    def cell(self, column: CombinedColumn) -> Cell | None:
        """Return the cell with the largest error in a column, which stands for the group."""
        cells = [row.cells[column] for row in self.rows if column in row.cells]
        return max(cells, key=lambda cell: cell.error or 0.0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementGroup:
    """Disagreements of one state, base model and column that differ only in the case."""

    disagreements: Sequence[Disagreement]

    @property
    def first(self) -> Disagreement:
        """The disagreement that stands for the group."""
        return self.disagreements[0]

    @property
    def cell(self) -> Cell:
        """The cell of the first disagreement in the column that disagrees."""
        return self.first.row.cells[self.first.column]

    @property
    def label(self) -> str:
        """The ids of the first cases, and the number of the others."""
        return _names(disagreement.row.label for disagreement in self.disagreements)

    @property
    def quote(self) -> str:
        """The evidence of the first disagreement or, if there is none, that of the reference."""
        return self.cell.evidence or self.first.row.cells[self.first.reference].evidence


def _names(labels: Iterable[str]) -> str:
    return listed(list(dict.fromkeys(labels)), 6)


def group_disagreements(combined_records: CombinedRecords) -> list[DisagreementGroup]:
    """Return the disagreements, grouped if only the case or a number in the evidence differs, unexpected ones first."""
    groups: dict[tuple[object, ...], list[Disagreement]] = {}
    for disagreement in combined_records.disagreements:
        row, cell = disagreement.row, disagreement.row.cells[disagreement.column]
        case = row.label if disagreement.pictures_differ else ""
        quote = _NUMBER.sub("#", one_line(cell.evidence, 240)) if cell.verdict in _QUOTED else ""
        key = row.state, row.base, disagreement.column, disagreement.verdicts, cell.status, quote, case
        groups.setdefault(key, []).append(disagreement)
    found = [DisagreementGroup(disagreements=group) for group in groups.values()]
    return sorted(found, key=lambda group: not (group.first.pictures_differ or group.cell.status in FAILING))


def agreement(combined_records: CombinedRecords) -> str:
    """Return a sentence with the states in which no backend disagrees with the CPU, or "" if there are none.

    If no cell was run on several backends, the sentence says so.
    """
    differing = {disagreement.row.state for disagreement in combined_records.disagreements}
    shared = Counter(
        row.state for row in combined_records.rows if len({column.backend for column in row.cells}) > 1
    )
    if not shared:
        return "No case was run on more than one backend, so there is nothing to compare."
    states = [
        f"{state} ({plural(shared[state], 'case')})"
        for state in combined_records.states
        if shared[state] and state not in differing
    ]
    return f"There are no disagreements in {' and '.join(states)}." if states else ""


def headline(combined_records: CombinedRecords) -> str:
    """Return the result in one sentence without a full stop."""
    used = dict.fromkeys(column.backend for column in combined_records.columns if column.device)
    cells = sum(len(row.cells) for row in combined_records.rows)
    differing = sum(disagreement.pictures_differ for disagreement in combined_records.disagreements)
    parts = [
        f"{plural(cells, 'cell')} on {', '.join(used) or 'no backend'}",
        plural(len(combined_records.failing), "unexpected result"),
    ]
    if combined_records.compared:
        parts.append(f"{differing} of {plural(combined_records.compared, 'picture')} differ from the CPU's")
    if combined_records.unjudged:
        parts.insert(1, f"{combined_records.unjudged} not judged")
    if combined_records.excluded:
        parts.append(f"{plural(len(combined_records.excluded), 'side')} excluded")
    if combined_records.complaints:
        parts.insert(0, f"Some records cannot be judged: {'; '.join(combined_records.complaints)}")
    return "; ".join(parts)


def why_empty(column: CombinedColumn) -> str:
    """Return the reason why a column has no cells."""
    return "never run" if BACKENDS[column.backend].never_run else "not in these records"


def columns_of(combined_records: CombinedRecords, state: str) -> list[CombinedColumn]:
    """Return the columns that have a cell of a state."""
    rows = [row for row in combined_records.rows if row.state == state]
    return [column for column in combined_records.columns if any(column in row.cells for row in rows)]


def group_rows(combined_records: CombinedRecords, state: str) -> list[RowGroup]:
    """Return the rows of a state, grouped if the results in all columns are equal, the most severe groups first."""
    groups: dict[tuple[object, ...], list[CombinedRow]] = {}
    for row in combined_records.rows:
        if row.state == state:
            cells = [row.cells.get(column) for column in combined_records.columns]
            key = tuple(cell and (cell.verdict, cell.status, cell.reason) for cell in cells)
            groups.setdefault(key, []).append(row)

    def urgency(group: RowGroup) -> tuple[int, int]:
        cells = group.rows[0].cells.values()
        return severity(cells), -len({cell.verdict for cell in cells})

    return sorted((RowGroup(rows=rows) for rows in groups.values()), key=urgency)


def text(combined_records: CombinedRecords) -> str:
    """Return the report as Markdown, at most ``LIMIT`` bytes long."""
    lines = [f"**{escape(headline(combined_records))}.**", "", *_records_table(combined_records)]
    for excluded in combined_records.excluded:
        side_record = excluded.side_record
        side = f"{side_record.path.name}, {side_record.state}, {side_record.side.backend}"
        lines.append(f"- excluded: {escape(side)}: {escape(excluded.reason)}")
    lines += ["", "**Disagreements with the CPU**", ""]
    if agreed := agreement(combined_records):
        lines += [escape(agreed), ""]
    disagreements = group_disagreements(combined_records)
    lines += [f"- {escape(group_text(group))}" for group in disagreements[:LINES]]
    lines += _rest(disagreements, "disagreement")
    if combined_records.failing:
        lines += ["", "**Unexpected results**", ""]
        for row, column in combined_records.failing[:LINES]:
            cell = row.cells[column]
            quote = f": {code(cell.evidence)}" if cell.evidence else ""
            place = f"{row.state} {row.label}, {column.label}"
            lines.append(f"- {cell.status} {escape(place)}: {escape(verdict_text(cell))}{quote}")
        lines += _rest(combined_records.failing, "cell")
    for state in combined_records.states:
        columns = columns_of(combined_records, state)
        heads = ["case", *(column.label for column in columns)]
        lines += ["", f"**{escape(state)}**", "", *markdown.head([escape(name) for name in heads])]
        groups = group_rows(combined_records, state)
        lines += [
            _row([group.label, *(_text(group, column) for column in columns)]) for group in groups[:LINES]
        ]
        if len(groups) > LINES:
            rest = f"{plural(len(groups) - LINES, 'more row')} in merged.html"
            lines.append(_row([rest, *[""] * len(columns)]))
    return _shortened("\n".join(lines) + "\n")


def _shortened(markdown_text: str) -> str:
    """Return the text, cut after a whole line if it is longer than ``LIMIT`` bytes."""
    note = "\n\nThis summary is cut. merged.html has everything.\n"
    data = markdown_text.encode()
    if len(data) <= LIMIT:
        return markdown_text
    kept = data[: LIMIT - len(note.encode())].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n")] + note


def group_text(group: DisagreementGroup) -> str:
    """Return the state, cases, column and result of a group of disagreements in one line."""
    return f"{group.first.row.state} {group.label}, {group.first.column.label}: {result(group.first)}"


def result(disagreement: Disagreement) -> str:
    """Return how the result differs from the CPU's."""
    reference, other = disagreement.verdicts
    if reference != other:
        return f"{other}, but {reference} on the CPU"
    error, bound = number(disagreement.error or 0), number(disagreement.bound)
    return f"{other} as on the CPU, but the pictures differ by an effect error of {error}, allowed {bound}"


def _records_table(combined_records: CombinedRecords) -> list[str]:
    """Return the table of the sides and of the backends without records."""
    heads = ["file", "state", "backend", "device", "driver", "machine", "upstream", "started", "harness"]
    lines = markdown.head(heads)
    lines += [_row(facts(side_record)) for side_record in combined_records.side_records]
    for column in combined_records.columns:
        if not column.device:
            lines.append(_row(["–", "–", column.backend, why_empty(column), *["–"] * 5]))
    return lines


def facts(side_record: SideRecord) -> list[str]:
    """Return a row of the table of sides: file, state, backend, device, driver, machine, commit, start, harness."""
    side, run = side_record.side, side_record.run
    return [
        side_record.path.name,
        side_record.state,
        side.backend,
        side.device or "not recorded",
        side.driver or "–",
        f"{run.machine.get('processor', '')}, {run.machine.get('cores', '?')} cores",
        builds.short_commit(side) or str(side.build.get("base") or "–")[:10],
        run.started[:16].replace("T", " "),
        run.project,
    ]


def _row(cells: Sequence[str]) -> str:
    return markdown.row([escape(cell) for cell in cells])


def _text(group: RowGroup, column: CombinedColumn) -> str:
    cell = group.cell(column)
    if cell is None:
        return "–" if column.device else why_empty(column)
    return f"{SIGNS[cell.status][0]} {verdict_text(cell)}"


def _rest(items: Sequence[object], noun: str) -> list[str]:
    left = len(items) - LINES
    return [f"- {plural(left, f'more {noun}')} in merged.html"] if left > 0 else []
