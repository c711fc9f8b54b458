"""The report for a pull request: Markdown with at most ``LIMIT`` lines, however many cases there are.

Each part gets the number of lines that are left and returns no more than these. It says how much it leaves out; the
rest is in report.html.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.records.record import Cell
from harness.reports import before_after, builds
from harness.reports.before_after import SidePair
from harness.reports.headline import headline
from harness.reports.table import ReportTable, case_id, worst_first
from harness.reports.vocabulary import headline_error
from harness.text import number, one_line, plural

LIMIT = 59
#: The largest number of builds, unexpected results, unstable cells and expected failures that are listed.
BUILDS, UNEXPECTED, UNSTABLE, EXPECTED = 8, 4, 3, 5
#: The lines reserved for the folded table, and how many of these are not rows: heading, notes, blank lines.
FOLDED, FRAME = 12, 9

Lines = list[str]


def render(table: ReportTable) -> str:
    """Return the report."""
    pairs = before_after.pairs(table)
    top = [f"**{escape(headline(table, pairs))}.**", "", *_builds(table), ""]
    end = ["", "Rerun with:", "```sh", one_line(table.records.run.command), "```"]
    room = LIMIT - len(top) - len(end)
    notes = [*_unexpected(table), *unstable(table, UNSTABLE), *_expected(table)]
    # Every case should have a row in the folded table, as long as the tables above it have half of the room.
    folded = max(FOLDED, min(len(table.rows) + FRAME, room // 2))
    summaries = _summaries(table, pairs, room - len(notes) - folded)
    details = full_table(table, room - len(notes) - len(summaries))
    return "\n".join([*top, *summaries, *notes, *details, *end]) + "\n"


def escape(text: str) -> str:
    """Return any text as one line in which Markdown and HTML have no effect."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    # GitHub does not treat an underscore within a word as Markdown. Unescaped, NO_EFFECT can be found by searching.
    return re.sub(r"[\\`*\[\]|~#@]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)


def code(text: str, width: int = 240) -> str:
    """Return any text as a code span in one line, cut to ``width`` characters. It is safe inside a table, too."""
    line = one_line(text, width).replace("|", "\\|")
    fence = "`"
    while fence in line:
        fence += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def row(cells: Sequence[str]) -> str:
    """Return a row of a table. The cells must be escaped."""
    return f"| {' | '.join(cells)} |"


def head(cells: Sequence[str]) -> Lines:
    """Return the head of a table. The cells must be escaped."""
    return [row(cells), "|---" * len(cells) + "|"]


def _with_rest(items: Lines, count: int, noun: str) -> Lines:
    """Return list items and, if there are fewer than ``count``, a last item with the number of missing ones."""
    left = count - len(items)
    return [*items, f"- {plural(left, f'more {noun}')} in report.html"] if left else items


def _builds(table: ReportTable) -> Lines:
    """Return the table of the builds and a line on the machine."""
    run = table.records.run
    rows = [
        row(
            [
                escape(side.label),
                escape(builds.short_commit(side)) or "–",
                escape(builds.patches_text(side)),
                escape(side.backend),
                escape(builds.compiler(side)) or "–",
            ]
        )
        for side in table.sides
    ]
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    origin = f"{run.title}; {machine}; {run.started}; harness {run.project}"
    constant = ", ".join(f"{name} {value}" for name, value in table.constant.items() if value)
    lines = [*head(["build", "upstream commit", "patches", "backend", "compiler"]), *rows[:BUILDS]]
    if len(rows) > BUILDS:
        lines.append(row([f"{plural(len(rows) - BUILDS, 'more build')} in report.html", "", "", "", ""]))
    return [*lines, "", escape(origin + (f"; all cells: {constant}" if constant else ""))]


def _summaries(table: ReportTable, pairs: Sequence[SidePair], room: int) -> Lines:
    """Return a table for each pair and for each other side, in at most ``room`` lines."""
    parts = [((pair.before, pair.after), f"{pair.label}, {' -> '.join(pair.names)}", pair) for pair in pairs]
    singles = [((side,), side.label, None) for side in before_after.unpaired_sides(table, pairs)]
    todo = [*parts, *singles]
    found: Lines = []
    for index, (sides, label, pair) in enumerate(todo):
        share = (room - len(found)) // (len(todo) - index)
        if share < 7:  # title, blank, two lines of heading, one row, the number of other rows, blank
            left = len(todo) - index
            return (
                [*found, f"{plural(left, 'more table')} in report.html.", ""]
                if room - len(found) >= 2
                else found
            )
        counts = f": {before_after.summary(table, pair)}" if pair else ""
        passing = (
            ""
            if not pair or before_after.same_build(pair)
            else before_after.still_passing(before_after.changes(table, pair))
        )
        lines = before_after.summary_rows(table, sides, merge_all=False)
        if len(lines) > share - 5:
            lines = before_after.summary_rows(table, sides, merge_all=True)
        modes = before_after.modes(table, *sides)
        rows = [row([escape(line.label), *map(escape, line.texts)]) for line in lines]
        if len(rows) > share - 5:
            kept = share - 6
            cases = sum(len(line.rows) for line in lines[kept:])
            rows = [*rows[:kept], row([f"{plural(cases, 'more case')} in report.html", *[""] * len(modes)])]
        found += [
            f"**{escape(label + counts)}** {escape(passing)}".rstrip(),
            "",
            *head(["case", *map(escape, modes)]),
            *rows,
            "",
        ]
    return found


def _unexpected(table: ReportTable) -> Lines:
    items = [
        f"- {cell.status}: {escape(cell.side)} {code(case_id(cell))}: {verdict_with_bound(cell)}"
        + (f": {code(cell.evidence)}" if cell.evidence else "")
        + (f" ({escape(cell.reason)})" if cell.reason else "")
        + (f"; rerun: {code(cell.repeat)}" if cell.repeat else "")
        for cell in table.failing[:UNEXPECTED]
    ]
    return ["Unexpected results:", *_with_rest(items, len(table.failing), "cell"), ""] if items else []


def unstable(table: ReportTable, limit: int) -> Lines:
    """Return the list of the cells that are unstable, at most ``limit`` of them, with the reasons."""
    items = [
        f"- {escape(cell.side)} {code(case_id(cell))}"
        f"{escape(' ' + cell.dimensions.get('base', '')).rstrip()}: {escape(cell.evidence)}"
        + (f" ({escape(cell.reason)})" if cell.reason else "")
        for cell in table.unstable[:limit]
    ]
    title = "Unstable cells, which count neither as fixed nor as regressed:"
    return [title, *_with_rest(items, len(table.unstable), "unstable cell"), ""] if items else []


def _expected(table: ReportTable) -> Lines:
    items = []
    for reason, cells in list(table.expected_failures.items())[:EXPECTED]:
        verdicts = ", ".join(dict.fromkeys(str(cell.verdict) for cell in cells))
        items.append(f"- {escape(verdicts)}, {escape(table.describe(cells))}: {escape(reason)}")
    rest = len(table.expected_failures)
    return ["Expected failures:", *_with_rest(items, rest, "expected failure"), ""] if items else []


def verdict_with_bound(cell: Cell) -> str:
    """Return the verdict and, if it is informative, the effect error with its bound: ``PASS 0.012/0.04``."""
    error = headline_error(cell)
    if error is None:
        return escape(str(cell.verdict))
    bound = f"/{number(cell.tolerance)}" if cell.tolerance is not None else ""
    return escape(f"{cell.verdict} {number(error)}{bound}")


def full_table(table: ReportTable, room: int) -> Lines:
    """Return the table of all cases, folded, in at most ``room`` lines. Evidence follows it as numbered notes."""
    evidence: dict[str, int] = {}

    def text(cell: Cell | None) -> str:
        if cell is None:
            return "–"
        parts = [verdict_with_bound(cell)]
        if cell.loss is not None and headline_error(cell) is not None:
            parts.append(f"loss {number(cell.loss)}")
        if cell.effect is not None:
            parts.append(f"effect {number(cell.effect)}")
        if cell.evidence:
            parts.append(f"[{evidence.setdefault(cell.evidence, len(evidence) + 1)}]")
        return " ".join(parts)

    columns, rows = table.columns, table.rows
    kept = rows if len(rows) <= room - FRAME else worst_first(rows)[: max(room - FRAME - 1, 0)]
    body = [
        row([escape(each.label), *(text(each.cells.get(column.key)) for column in columns)]) for each in kept
    ]
    if len(kept) < len(rows):
        rest = f"{plural(len(rows) - len(kept), 'more case')} in report.html"
        body.append(row([rest, *[""] * len(columns)]))
    notes = "<br>".join(f"[{mark}] {code(text)}" for text, mark in list(evidence.items())[:20])
    if len(evidence) > 20:
        notes += f"<br>{plural(len(evidence) - 20, 'more note')} in report.html"
    return [
        f"<details><summary>All {plural(len(table.records.cells), 'cell')}: verdict, effect error/tolerance, "
        "loss, effect in grey levels, evidence</summary>",
        "",
        *head(["case", *(escape(f"{column.side.label} {column.mode}".strip()) for column in columns)]),
        *body,
        "",
        *([notes, ""] if notes else []),
        "</details>",
    ]
