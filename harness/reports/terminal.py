"""The report on a terminal: the table of verdicts, expected failures, unexpected results and the headline."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.records.record import Cell, Records, Side
from harness.records.verdict import FAILING, Status
from harness.reports import before_after, builds, cost
from harness.reports.headline import good, headline
from harness.reports.table import ColumnKey, ReportTable, TableRow, arrange, case_id, expectation_reason
from harness.reports.vocabulary import SEVERITY, SIGNS, STATUSES, headline_error, severity
from harness.text import number, one_line, plural

STYLES = {
    Status.UNEXPECTED: "bold red",
    Status.XPASS: "bold magenta",
    Status.XFAIL: "yellow",
    Status.PASS: "green",
    Status.SKIPPED: "dim",
}
#: With more rows than this, cases with equal results share a row.
ROWS = 40
#: The largest number of unexpected results, and of expected failures, that are printed.
LISTED = 20


def print_table(records: Records, console: Console) -> None:
    """Print the report on a run.

    The table has a row for each case and a column for each side and mode. If it is too wide for the console, it is
    split into a table for each revision or, if necessary, for each side.
    """
    table = arrange(records)
    marks = {
        reason: _mark(index, ascii_only(console)) for index, reason in enumerate(table.expected_failures, 1)
    }
    for part in _fitting(table, marks, console):
        console.print(part, soft_wrap=False)
    pairs = before_after.pairs(table)
    for pair in pairs:
        counts = before_after.summary(table, pair)
        console.print(f"{pair.label}, {' -> '.join(pair.names)}: {counts}", markup=False, highlight=False)
        if not before_after.same_build(pair) and (
            passing := before_after.still_passing(before_after.changes(table, pair))
        ):
            console.print(f"    {passing}", markup=False, highlight=False)
    _print_expected(table, marks, console)
    _print_unstable(table, console)
    _print_unexpected(table, console)
    _print_statuses(table, console)
    console.print(cost.summary(records), markup=False, highlight=False)
    text = headline(table, pairs) + "."
    console.print(Text(text, style="bold" if good(table) else "bold red"), highlight=False)


def _fitting(table: ReportTable, marks: dict[str, str], console: Console) -> list[Table]:
    """Return the fewest tables that fit the width of the console."""
    revisions: dict[tuple[str, str], list[Side]] = {}
    for side in table.sides:
        revisions.setdefault((side.revision, side.backend), []).append(side)
    layouts = [[list(table.sides)], list(revisions.values()), [[side] for side in table.sides]]
    found: list[Table] = []
    for layout in layouts:
        found = [_table(table, sides, marks, console) for sides in layout]
        widths = [Measurement.get(console, console.options.update(max_width=10_000), part) for part in found]
        if all(width.maximum <= console.width for width in widths):
            break
    return found


def _table(table: ReportTable, sides: Sequence[Side], marks: dict[str, str], console: Console) -> Table:
    columns = table.columns_of(sides)
    result = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, title_justify="left"
    )
    result.add_column("case")
    for index, column in enumerate(columns):
        new = not index or columns[index - 1].side != column.side
        side = column.side.label.removeprefix(column.side.revision).strip() or column.side.label
        first = column.side.revision if new and side != column.side.label else ""
        head = Text(f"{first}\n{side if new else ''}\n{column.mode}")
        result.add_column(head, no_wrap=True)
    for rows in _groups(table, [column.key for column in columns]):
        texts = [
            _cell([c for row in rows if (c := row.cells.get(column.key))], marks, ascii_only(console))
            for column in columns
        ]
        result.add_row(Text(table.names(rows, 4)), *texts)
    return result


def ascii_only(console: Console) -> bool:
    """Tell whether the console cannot show Unicode."""
    return not console.encoding.lower().startswith("utf")


def _mark(number_: int, ascii_: bool) -> str:
    return f"[{number_}]" if ascii_ else str(number_).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _groups(table: ReportTable, keys: Sequence[ColumnKey]) -> list[list[TableRow]]:
    """Return the rows with cells in some columns, grouped by equal results if there are more than ``ROWS``."""
    rows = [row for row in table.rows if any(key in row.cells for key in keys)]
    if len(rows) <= ROWS:
        return [[row] for row in rows]
    groups: dict[tuple[object, ...], list[TableRow]] = {}
    for row in rows:
        cells = [row.cells.get(key) for key in keys]
        groups.setdefault(tuple(c and (c.verdict, c.status, c.reason) for c in cells), []).append(row)
    return sorted(groups.values(), key=lambda group: severity(group[0].cells.values()))


def _cell(cells: Sequence[Cell], marks: dict[str, str], ascii_: bool) -> Text:
    """Return the text of one table cell, for cases with equal verdicts."""
    if not cells:
        return Text("")
    cell = cells[0]
    text = str(cell.verdict)
    errors = [error for c in cells if (error := headline_error(c)) is not None]
    if errors:
        sign = ("<=" if ascii_ else "≤") if len(set(map(number, errors))) > 1 else ""
        text += f" {sign}{number(max(errors))}"
    if cell.status in FAILING:
        text = f"{SIGNS[cell.status][ascii_]} {text}"
    elif cell.status is Status.XFAIL:
        text += marks.get(expectation_reason(cell), "")
    return Text(text, style=STYLES[cell.status])


def _print_expected(table: ReportTable, marks: dict[str, str], console: Console) -> None:
    failures = list(table.expected_failures.items())
    for reason, cells in failures[:LISTED]:
        verdicts = ", ".join(dict.fromkeys(str(cell.verdict) for cell in cells))
        text = Text(f"{marks[reason]} expected failure: ", style=STYLES[Status.XFAIL])
        text.append(f"{one_line(reason)} ({verdicts}; {plural(len(cells), 'cell')})", style="none")
        console.print(text, highlight=False)
        if evidence := next((cell.evidence for cell in cells if cell.evidence), ""):
            _print_indented(one_line(evidence, 200), console)
    _print_rest(len(failures), "expected failure", console)


def _print_unstable(table: ReportTable, console: Console) -> None:
    for cell in table.unstable[:LISTED]:
        expected = ", as expected" if cell.status is Status.XFAIL else ""
        text = Text(f"unstable{expected}: ", style=STYLES[cell.status])
        console.print(text.append(f"{cell.side}  {case_id(cell)}", style="none"), highlight=False)
        _print_indented(one_line(cell.evidence, 400), console)
        if cell.reason:
            _print_indented(one_line(cell.reason, 400), console)
    _print_rest(len(table.unstable), "unstable cell", console)


def _print_unexpected(table: ReportTable, console: Console) -> None:
    for cell in table.failing[:LISTED]:
        sign = SIGNS[cell.status][ascii_only(console)]
        console.print(
            Text.assemble(
                (f"{sign} {cell.verdict} ", STYLES[cell.status]),
                f"{cell.side}  {case_id(cell)}",
            ),
            highlight=False,
        )
        if cell.error is not None and cell.tolerance is not None:
            bound = f"effect error {number(cell.error)}, allowed {number(cell.tolerance)} ({cell.why})"
            _print_indented(bound, console)
        if cell.status is Status.XPASS:
            _print_indented(f"remove the expectation: {cell.reason}", console)
        if cell.evidence:
            _print_indented(one_line(cell.evidence, 400), console)
        if cell.repeat:
            # Not wrapped, so that the command can be copied.
            console.print(Text(f"    $ {cell.repeat}"), highlight=False, soft_wrap=True)
    _print_rest(len(table.failing), "cell", console)


def _print_indented(text: str, console: Console) -> None:
    console.print(Padding(Text(text, style="dim"), (0, 0, 0, 4)), highlight=False, soft_wrap=False)


def _print_rest(count: int, noun: str, console: Console) -> None:
    """Print how many of ``count`` items are not printed, if there are any."""
    if count > LISTED:
        console.print(f"{plural(count - LISTED, f'more {noun}')} in report.html", highlight=False)


def _print_statuses(table: ReportTable, console: Console) -> None:
    parts: list[tuple[str, str] | str] = []
    for status in SEVERITY:
        if count := table.statuses.get(status, 0):
            sign = SIGNS[status][ascii_only(console)]
            parts += [", " if parts else "", (f"{sign} {count} {status}", STYLES[status])]
            if status is not Status.PASS:
                parts.append(f" ({STATUSES[status]})")
    console.print(Text.assemble(*parts), highlight=False)
    patches = sorted({name for side in table.sides for name in builds.patches(side)})
    if patches:
        console.print(Text(f"patches: {', '.join(patches)}"), highlight=False)
