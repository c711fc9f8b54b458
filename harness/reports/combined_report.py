"""Runs of several machines side by side: one page for a browser, one text for a pull request or a CI summary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.judging.combined import CombinedColumn, CombinedRecords, CombinedRow, Disagreement, SideRecord
from harness.records.record import Cell
from harness.records.verdict import FAILING, Verdict
from harness.reports import markdown
from harness.reports.markdown import code, escape
from harness.reports.pictures import difference, uri
from harness.reports.templating import fill
from harness.reports.vocabulary import SEVERITY, SHAPES, STATUSES, short, worst
from harness.text import listed, number, one_line, plural
from sdcpp import atomic_write
from sdcpp.machine.backends import BACKENDS

#: Bytes that GitHub takes as a step's summary; a longer one is dropped as a whole.
LIMIT = 1 << 20
#: Most lines of a kind in the text: disagreements, failures, rows of a table.
LINES = 40
#: Disagreements of which the page shows the pictures.
PICTURED = 60
#: Verdicts that come with words of the library, which tell one cause from another.
_QUOTED = frozenset({Verdict.ABORT, Verdict.TIMEOUT, Verdict.REFUSED, Verdict.MISDIRECTED, Verdict.UNJUDGED})
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceGroup:
    """Rows of one state that say the same in every column."""

    rows: Sequence[CombinedRow]

    @property
    def label(self) -> str:
        """The names, cut to what fits a line."""
        return _names(row.label for row in self.rows)

    def cell(self, column: CombinedColumn) -> Cell | None:
        """Return the cell with the largest error, as the one to show."""
        cells = [row.cells[column] for row in self.rows if column in row.cells]
        return max(cells, key=lambda cell: cell.error or 0.0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreements:
    """Disagreements of one state, base model and column that are the same but for the case's name."""

    found: Sequence[Disagreement]

    @property
    def first(self) -> Disagreement:
        """The one to show."""
        return self.found[0]

    @property
    def cell(self) -> Cell:
        """What the column has of the one to show."""
        return self.first.row.cells[self.first.column]

    @property
    def label(self) -> str:
        """The names, cut to what fits a line."""
        return _names(found.row.label for found in self.found)

    @property
    def quote(self) -> str:
        """What the library said to it, or to the reference where it said nothing here."""
        return self.cell.evidence or self.first.row.cells[self.first.reference].evidence


def _names(labels: Iterable[str]) -> str:
    return listed(list(dict.fromkeys(labels)), 6)


def disagreements(joined: CombinedRecords) -> list[Disagreements]:
    """Return the disagreements, those together that differ by a case's name or a number, what nobody expected first."""
    together: dict[tuple[object, ...], list[Disagreement]] = {}
    for found in joined.disagreements:
        row, cell = found.row, found.row.cells[found.column]
        alone = row.label if found.unexplained else ""
        said = _NUMBER.sub("#", one_line(cell.evidence, 240)) if cell.verdict in _QUOTED else ""
        key = row.state, row.base, found.column, found.verdicts, cell.status, said, alone
        together.setdefault(key, []).append(found)
    made = [Disagreements(found=found) for found in together.values()]
    return sorted(made, key=lambda one: not (one.first.unexplained or one.cell.status in FAILING))


def agreed(joined: CombinedRecords) -> str:
    """Return in which states no backend disagrees with the CPU, as a sentence, or "" if there is none such."""
    differing = {found.row.state for found in joined.disagreements}
    shared = Counter(row.state for row in joined.rows if len({column.backend for column in row.cells}) > 1)
    same = [
        f"{state} ({plural(shared[state], 'case')})"
        for state in joined.states
        if shared[state] and state not in differing
    ]
    return f"Nowhere in {' and '.join(same)}." if same else ""


def write(joined: CombinedRecords, folder: Path) -> list[Path]:
    """Write merged.html and merged.md into a folder and return their paths; raises OutputRefused."""
    contents = {"merged.html": page(joined), "merged.md": text(joined)}
    for name, content in contents.items():
        atomic_write.write(folder / name, content)
    return [folder / name for name in contents]


def sentence(joined: CombinedRecords) -> str:
    """Return what was found, in one sentence without a full stop."""
    backends = ", ".join(dict.fromkeys(c.backend for c in joined.columns if c.device)) or "no backend"
    cells = sum(len(row.cells) for row in joined.rows)
    parts = [f"{plural(cells, 'cell')} on {backends}"]
    parts.append(f"{plural(len(joined.failing), 'cell')} not as expected")
    apart = sum(found.unexplained for found in joined.disagreements)
    parts.append(f"{plural(joined.compared, 'picture')} compared with the CPU's, {apart} differ")
    if joined.refused:
        parts.append(f"{plural(len(joined.refused), 'side')} refused")
    return "; ".join(parts)


def empty(column: CombinedColumn) -> str:
    """Return why a column is empty."""
    known = BACKENDS[column.backend]
    return "never run" if known.never_run else "not among these records"


def groups(joined: CombinedRecords, state: str) -> list[DifferenceGroup]:
    """Return the rows of a state, merged where all columns say the same, what must be looked at first."""
    found: dict[tuple[object, ...], list[CombinedRow]] = {}
    for row in joined.rows:
        if row.state == state:
            cells = [row.cells.get(column) for column in joined.columns]
            key = tuple(cell and (cell.verdict, cell.status, cell.reason) for cell in cells)
            found.setdefault(key, []).append(row)
    made = [DifferenceGroup(rows=rows) for rows in found.values()]
    return sorted(
        made,
        key=lambda g: (worst(g.rows[0].cells.values()), -len({c.verdict for c in g.rows[0].cells.values()})),
    )


def text(joined: CombinedRecords) -> str:
    """Return the Markdown, never more than ``LIMIT`` bytes."""
    lines = [f"**{escape(sentence(joined))}.**", ""]
    lines += _what(joined)
    for refusal in joined.refused:
        where = f"{refusal.entry.path.name}, {refusal.entry.state}, {refusal.entry.side.backend}"
        lines.append(f"- refused: {escape(where)}: {escape(refusal.reason)}")
    lines += ["", "**Where backends disagree with the CPU**", ""]
    differing = disagreements(joined)
    if nowhere := agreed(joined):
        lines += [escape(nowhere), ""]
    lines += [f"- {escape(line(one))}" for one in differing[:LINES]]
    lines += _more(differing, "disagreement")
    if joined.failing:
        lines += ["", "**Not as expected**", ""]
        for row, column in joined.failing[:LINES]:
            cell = row.cells[column]
            quote = f": {code(cell.evidence)}" if cell.evidence else ""
            place = f"{row.state} {row.label}, {column.label}"
            lines.append(f"- {cell.status} {escape(place)}: {escape(short(cell))}{quote}")
        lines += _more(joined.failing, "cell")
    for state in joined.states:
        heads = ["case", *(c.label for c in joined.columns)]
        lines += ["", f"**{escape(state)}**", "", *markdown.head([escape(name) for name in heads])]
        found = groups(joined, state)
        for group in found[:LINES]:
            lines.append(_row([group.label, *(_text(group, column) for column in joined.columns)]))
        if len(found) > LINES:
            lines.append(_row([f"{len(found) - LINES} more in merged.html", *[""] * len(joined.columns)]))
    whole = "\n".join(lines) + "\n"
    cut = "\n\nCut here: the whole is in merged.html.\n"
    data = whole.encode()
    if len(data) <= LIMIT:
        return whole
    kept = data[: LIMIT - len(cut.encode())].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n")] + cut


def line(one: Disagreements) -> str:
    """Return what disagreements are, with the place."""
    return f"{one.first.row.state} {one.label}, {one.first.column.label}: {words(one.first)}"


def words(found: Disagreement) -> str:
    """Return what a disagreement is."""
    ours, theirs = found.verdicts
    if ours != theirs:
        return f"{theirs}, the CPU {ours}"
    error, bound = number(found.error or 0), number(found.bound)
    return f"both {ours}, effect error {error} against the CPU's picture, allowed {bound}"


def _what(joined: CombinedRecords) -> list[str]:
    """Return a table of what was joined."""
    heads = ["file", "what", "backend", "device", "driver", "machine", "upstream", "started", "harness"]
    lines = markdown.head(heads)
    for entry in joined.entries:
        lines.append(_row(facts(entry)))
    for column in joined.columns:
        if not column.device:
            lines.append(_row(["–", "–", column.backend, empty(column), *["–"] * 5]))
    return lines


def facts(entry: SideRecord) -> list[str]:
    """Return what a row of the table of what was joined holds."""
    side, run = entry.side, entry.run
    return [
        entry.path.name,
        entry.state,
        side.backend,
        side.device or "not recorded",
        side.driver or "–",
        f"{run.machine.get('processor', '')}, {run.machine.get('cores', '?')} cores",
        str(side.build.get("commit") or side.build.get("base") or "–")[:10],
        run.started[:16].replace("T", " "),
        run.project,
    ]


def _row(cells: Sequence[str]) -> str:
    return markdown.row([escape(cell) for cell in cells])


def _text(group: DifferenceGroup, column: CombinedColumn) -> str:
    cell = group.cell(column)
    if cell is None:
        return "–" if column.device else empty(column)
    return f"{SHAPES[cell.status][0]} {short(cell)}"


def _more(items: Sequence[object], what: str) -> list[str]:
    return [f"- {plural(len(items) - LINES, what)} more in merged.html"] if len(items) > LINES else []


def page(joined: CombinedRecords) -> str:
    """Return the page."""
    counts = Counter(cell.status for row in joined.rows for cell in row.cells.values())
    return fill(
        "merged.html.j2",
        sentence=sentence(joined),
        good=not joined.failing
        and not joined.refused
        and not any(d.unexplained for d in joined.disagreements),
        joined=joined,
        facts=facts,
        empty=empty,
        words=words,
        agreed=agreed(joined),
        shown=[
            (one, _pictures(joined, one.first) if number < PICTURED else [])
            for number, one in enumerate(disagreements(joined))
        ],
        tables=[(state, groups(joined, state)) for state in joined.states],
        legend=[(s, SHAPES[s][0], counts[s], STATUSES[s]) for s in SEVERITY if counts[s]],
        shapes={status: shapes[0] for status, shapes in SHAPES.items()},
        short=short,
        one_line=one_line,
        failing=FAILING,
    )


def _pictures(joined: CombinedRecords, found: Disagreement) -> list[tuple[str, str]]:
    """Return the pictures of a disagreement with their captions: the reference's, the other's, the difference."""
    names = [found.row.cells[column].pictures.get("got", "") for column in (found.reference, found.column)]
    held = [joined.pictures.get(name) for name in names]
    labels = (found.reference.backend, found.column.backend)
    shown = [(label, uri(pixels)) for label, pixels in zip(labels, held, strict=True) if pixels is not None]
    first, second = held
    if first is not None and second is not None and first.shape == second.shape:
        pixels, factor, _ = difference(second, first)
        shown.append((f"difference × {factor}", uri(pixels)))
    return shown
