"""The table that a run prints when it is done."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.records.record import Cell, Records, Side
from harness.records.verdict import Status
from harness.reports import before_after, builds, cost
from harness.reports.progress import Progress
from harness.reports.table import ReportTable, TableRow, arrange, title
from harness.reports.vocabulary import SEVERITY, SHAPES, STATUSES, headline_error, worst
from harness.text import number, one_line, plural

__all__ = ["Progress", "table"]

STYLES = {
    Status.UNEXPECTED: "bold red",
    Status.XPASS: "bold magenta",
    Status.XFAIL: "yellow",
    Status.PASS: "green",
    Status.SKIPPED: "dim",
}
#: Rows up to which each case has its own; beyond, those that say the same are shown as one.
ROWS = 40
#: Failing cells and known defects that are shown in full.
FAILURES = 20


def table(records: Records, console: Console) -> None:
    """Print the verdicts of a run: cases down, sides and modes across, then what needs a word.

    Too wide a table becomes one for each revision and, if need be, one for each side.
    """
    shown = arrange(records)
    marks = {reason: _mark(number_, ascii_only(console)) for number_, reason in enumerate(shown.known, 1)}
    for part in _fitting(shown, marks, console):
        console.print(part, soft_wrap=False)
    pairs = before_after.pairs(shown)
    for pair in pairs:
        counts = before_after.summary(shown, pair)
        console.print(f"{pair.label}, {' -> '.join(pair.words)}: {counts}", markup=False, highlight=False)
        if not before_after.same_build(pair) and (
            still := before_after.kept(before_after.changes(shown, pair))
        ):
            console.print(f"    {still}", markup=False, highlight=False)
    _known(shown, marks, console)
    _failing(shown, console)
    _statuses(shown, console)
    console.print(cost.line(records), markup=False, highlight=False)
    text = before_after.sentence(shown, pairs) + "."
    console.print(Text(text, style="bold red" if records.failing else "bold"), highlight=False)


def _fitting(shown: ReportTable, marks: dict[str, str], console: Console) -> list[Table]:
    revisions: dict[tuple[str, str], list[Side]] = {}
    for side in shown.sides:
        revisions.setdefault((side.revision, side.backend), []).append(side)
    layouts = [[list(shown.sides)], list(revisions.values()), [[side] for side in shown.sides]]
    found: list[Table] = []
    for layout in layouts:
        found = [_table(shown, sides, marks, console) for sides in layout]
        widths = [Measurement.get(console, console.options.update(max_width=10_000), part) for part in found]
        if all(width.maximum <= console.width for width in widths):
            break
    return found


def _table(shown: ReportTable, sides: Sequence[Side], marks: dict[str, str], console: Console) -> Table:
    columns = shown.columns_of(sides)
    result = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, title_justify="left"
    )
    result.add_column("case")
    for place, column in enumerate(columns):
        new = not place or columns[place - 1].side != column.side
        side = column.side.label.removeprefix(column.side.revision).strip() or column.side.label
        first = column.side.revision if new and side != column.side.label else ""
        head = Text(f"{first}\n{side if new else ''}\n{column.mode}")
        result.add_column(head, no_wrap=True)
    for rows in _groups(shown, [column.place for column in columns]):
        texts = [
            _cell([c for row in rows if (c := row.cells.get(column.place))], marks, ascii_only(console))
            for column in columns
        ]
        result.add_row(Text(shown.names(rows, 4)), *texts)
    return result


def ascii_only(console: Console) -> bool:
    """Tell whether the console can show nothing but ASCII."""
    return not console.encoding.lower().startswith("utf")


def _mark(count: int, plain: bool) -> str:
    return f"[{count}]" if plain else str(count).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _groups(shown: ReportTable, places: Sequence[tuple[str, str]]) -> list[list[TableRow]]:
    rows = [row for row in shown.rows if any(place in row.cells for place in places)]
    if len(rows) <= ROWS:
        return [[row] for row in rows]
    groups: dict[tuple[object, ...], list[TableRow]] = {}
    for row in rows:
        cells = [row.cells.get(place) for place in places]
        groups.setdefault(tuple(c and (c.verdict, c.status, c.reason) for c in cells), []).append(row)
    return sorted(groups.values(), key=lambda group: worst(group[0].cells.values()))


def _cell(cells: Sequence[Cell], marks: dict[str, str], plain: bool) -> Text:
    if not cells:
        return Text("")
    cell = cells[0]
    text = str(cell.verdict)
    errors = [error for c in cells if (error := headline_error(c)) is not None]
    if errors:
        sign = ("<=" if plain else "≤") if len(set(map(number, errors))) > 1 else ""
        text += f" {sign}{number(max(errors))}"
    if cell.status in {Status.UNEXPECTED, Status.XPASS}:
        text = f"{SHAPES[cell.status][plain]} {text}"
    elif cell.status is Status.XFAIL:
        text += marks.get(cell.reason or cell.evidence or str(cell.verdict), "")
    return Text(text, style=STYLES[cell.status])


def _known(shown: ReportTable, marks: dict[str, str], console: Console) -> None:
    known = list(shown.known.items())
    for reason, cells in known[:FAILURES]:
        verdicts = ", ".join(dict.fromkeys(str(cell.verdict) for cell in cells))
        text = Text(f"{marks[reason]} known: ", style=STYLES[Status.XFAIL])
        text.append(f"{one_line(reason)} ({verdicts}; {plural(len(cells), 'cell')})", style="none")
        console.print(text, highlight=False)
        if evidence := next((cell.evidence for cell in cells if cell.evidence), ""):
            console.print(Padding(Text(one_line(evidence, 200), style="dim"), (0, 0, 0, 4)), soft_wrap=False)
    if len(known) > FAILURES:
        console.print(
            f"and {plural(len(known) - FAILURES, 'known defect')} more in report.html", highlight=False
        )


def _failing(shown: ReportTable, console: Console) -> None:
    for cell in shown.failing[:FAILURES]:
        shape = SHAPES[cell.status][ascii_only(console)]
        console.print(
            Text.assemble(
                (f"{shape} {cell.verdict} ", STYLES[cell.status]),
                f"{cell.side}  {title(cell)}",
            ),
            highlight=False,
        )
        if cell.error is not None and cell.tolerance is not None:
            _below(
                f"effect error {number(cell.error)}, allowed {number(cell.tolerance)} ({cell.why})", console
            )
        if cell.status is Status.XPASS:
            _below(f"remove the expectation: {cell.reason}", console)
        if cell.evidence:
            _below(one_line(cell.evidence, 400), console)
        if cell.repeat:
            # Not wrapped, so that it can be copied.
            console.print(Text(f"    $ {cell.repeat}"), highlight=False, soft_wrap=True)
    if len(shown.failing) > FAILURES:
        console.print(
            f"and {plural(len(shown.failing) - FAILURES, 'cell')} more in report.html", highlight=False
        )


def _below(text: str, console: Console) -> None:
    console.print(Padding(Text(text, style="dim"), (0, 0, 0, 4)), highlight=False, soft_wrap=False)


def _statuses(shown: ReportTable, console: Console) -> None:
    parts: list[tuple[str, str] | str] = []
    for status in SEVERITY:
        if count := shown.statuses.get(status, 0):
            shape = SHAPES[status][ascii_only(console)]
            parts += [", " if parts else "", (f"{shape} {count} {status}", STYLES[status])]
            if status is not Status.PASS:
                parts.append(f" ({STATUSES[status]})")
    console.print(Text.assemble(*parts), highlight=False)
    patches = sorted({name for side in shown.sides for name in builds.patches(side)})
    if patches:
        console.print(Text(f"patches: {', '.join(patches)}"), highlight=False)
