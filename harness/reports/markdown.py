"""The report for a pull request: Markdown, never more than ``LIMIT`` lines however many cases there are.

Each part is given the lines that are left and returns no more than that; what is cut is said, and stands in
report.html.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.records.record import Cell
from harness.reports import before_after, builds
from harness.reports.before_after import SidePair
from harness.reports.table import ReportTable, worst_first
from harness.reports.vocabulary import headline_error
from harness.text import number, one_line, plural

LIMIT = 59
#: Most builds, unexpected failures and known defects that are listed; one more line then counts the others.
BUILDS, FAILURES, KNOWN = 8, 4, 5
#: Lines that the folded table is sure of, and those of them that are around its rows: head, notes, blanks.
FOLDED, FRAME = 12, 9

Lines = list[str]


def render(shown: ReportTable) -> str:
    """Return the report."""
    pairs = before_after.pairs(shown)
    top = [f"**{escape(before_after.sentence(shown, pairs))}.**", "", *_tested(shown), ""]
    end = ["", "Repeat it with:", "```sh", one_line(shown.records.run.command), "```"]
    room = LIMIT - len(top) - len(end)
    notes = [*_failures(shown), *_known(shown)]
    # Every case should have its line in the folded table, as long as the tables above have half of the room.
    folded = max(FOLDED, min(len(shown.rows) + FRAME, room // 2))
    tables = _tables(shown, pairs, room - len(notes) - folded)
    whole = full(shown, room - len(notes) - len(tables))
    return "\n".join([*top, *tables, *notes, *whole, *end]) + "\n"


def escape(text: str) -> str:
    """Return foreign text so that Markdown and HTML in it stay text, in one line."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    # An underscore within a word is one in GitHub's Markdown, and NO_EFFECT is to be found by searching.
    return re.sub(r"[\\`*\[\]|~#@]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)


def code(text: str, width: int = 240) -> str:
    """Return foreign text as a code span in one line that is safe in a table too."""
    line = one_line(text, width).replace("|", "\\|")
    fence = "`"
    while fence in line:
        fence += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def row(cells: Sequence[str]) -> str:
    """Return a row of a table; its cells are escaped already."""
    return f"| {' | '.join(cells)} |"


def head(cells: Sequence[str]) -> Lines:
    """Return the head of a table."""
    return [row(cells), "|---" * len(cells) + "|"]


def _cut(lines: Lines, count: int, what: str) -> Lines:
    """Return the lines and, if these are not all of ``count``, a last one that says how many are missing."""
    left = count - len(lines)
    return [*lines, f"- {plural(left, what)} more in report.html"] if left else lines


def _tested(shown: ReportTable) -> Lines:
    run = shown.records.run
    rows = [
        row(
            [
                escape(side.label),
                escape(builds.commit(side)) or "–",
                escape(builds.patched_by(side)),
                escape(side.backend),
                escape(builds.compiler(side)) or "–",
            ]
        )
        for side in shown.sides
    ]
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    where = f"{run.title}; {machine}; {run.started}; harness {run.project}"
    constant = ", ".join(f"{name} {value}" for name, value in shown.constant.items() if value)
    table = [*head(["build", "upstream commit", "patches", "backend", "compiler"]), *rows[:BUILDS]]
    if len(rows) > BUILDS:
        table.append(row([f"{len(rows) - BUILDS} more in report.html", "", "", "", ""]))
    return [*table, "", escape(where + (f"; everywhere {constant}" if constant else ""))]


def _tables(shown: ReportTable, pairs: Sequence[SidePair], room: int) -> Lines:
    """Return a table for each pair, then for each side without a partner, in ``room`` lines."""
    parts = [((pair.before, pair.after), f"{pair.label}, {' -> '.join(pair.words)}", pair) for pair in pairs]
    singles = [((side,), side.label, None) for side in before_after.alone(shown, pairs)]
    todo = [*parts, *singles]
    found: Lines = []
    for index, (sides, label, pair) in enumerate(todo):
        share = (room - len(found)) // (len(todo) - index)
        if share < 7:  # title, blank, two for the head, one row, the note on the others, blank
            left = len(todo) - index
            return (
                [*found, f"{plural(left, 'more table')} in report.html.", ""]
                if room - len(found) >= 2
                else found
            )
        counts = f": {before_after.summary(shown, pair)}" if pair else ""
        still = (
            ""
            if not pair or before_after.same_build(pair)
            else before_after.kept(before_after.changes(shown, pair))
        )
        lines = before_after.cost_rows(shown, sides, merge_all=False)
        if len(lines) > share - 5:
            lines = before_after.cost_rows(shown, sides, merge_all=True)
        across = before_after.modes(shown, *sides)
        rows = [row([escape(line.label), *map(escape, line.texts)]) for line in lines]
        if len(rows) > share - 5:
            kept = share - 6
            cases = sum(len(line.rows) for line in lines[kept:])
            rows = [*rows[:kept], row([f"{plural(cases, 'case')} more in report.html", *[""] * len(across)])]
        found += [
            f"**{escape(label + counts)}** {escape(still)}".rstrip(),
            "",
            *head(["case", *map(escape, across)]),
            *rows,
            "",
        ]
    return found


def _failures(shown: ReportTable) -> Lines:
    failing = [
        f"- {cell.status}: {escape(shown.describe([cell]))}: {short(cell)}"
        + (f": {code(cell.evidence)}" if cell.evidence else "")
        + (f" ({escape(cell.reason)})" if cell.reason else "")
        + (f"; repeat: {code(cell.repeat)}" if cell.repeat else "")
        for cell in shown.failing[:FAILURES]
    ]
    return ["Not as expected:", *_cut(failing, len(shown.failing), "cell"), ""] if failing else []


def _known(shown: ReportTable) -> Lines:
    known = []
    for reason, cells in list(shown.known.items())[:KNOWN]:
        verdicts = ", ".join(dict.fromkeys(str(cell.verdict) for cell in cells))
        known.append(f"- {escape(verdicts)}, {escape(shown.describe(cells))}: {escape(reason)}")
    return ["Known:", *_cut(known, len(shown.known), "defect"), ""] if known else []


def short(cell: Cell) -> str:
    """Return the verdict and, where it says something, the effect error with its bound: ``PASS 0.012/0.04``."""
    error = headline_error(cell)
    if error is None:
        return escape(str(cell.verdict))
    bound = f"/{number(cell.tolerance)}" if cell.tolerance is not None else ""
    return escape(f"{cell.verdict} {number(error)}{bound}")


def full(shown: ReportTable, room: int) -> Lines:
    """Return the full table, folded, in ``room`` lines: a row for each case, evidence as numbered notes."""
    evidence: dict[str, int] = {}

    def text(cell: Cell | None) -> str:
        if cell is None:
            return "–"
        parts = [short(cell)]
        parts += (
            [f"loss {number(cell.loss)}"]
            if cell.loss is not None and headline_error(cell) is not None
            else []
        )
        parts += [f"effect {number(cell.effect)}"] if cell.effect is not None else []
        if cell.evidence:
            parts.append(f"[{evidence.setdefault(cell.evidence, len(evidence) + 1)}]")
        return " ".join(parts)

    columns = shown.columns
    rows = shown.rows
    kept = rows if len(rows) <= room - FRAME else worst_first(rows)[: max(room - FRAME - 1, 0)]
    body = [
        row([escape(each.label), *(text(each.cells.get(column.place)) for column in columns)])
        for each in kept
    ]
    if len(kept) < len(rows):
        body.append(
            row([f"{plural(len(rows) - len(kept), 'case')} more in report.html", *[""] * len(columns)])
        )
    notes = "<br>".join(f"[{mark}] {code(text)}" for text, mark in list(evidence.items())[:20])
    if len(evidence) > 20:
        notes += f"<br>{len(evidence) - 20} more in report.html"
    return [
        f"<details><summary>All {plural(len(shown.records.cells), 'cell')}: verdict, effect error/tolerance, "
        "loss, effect in grey levels, evidence</summary>",
        "",
        *head(["case", *(escape(f"{column.side.label} {column.mode}".strip()) for column in columns)]),
        *body,
        "",
        *([notes, ""] if notes else []),
        "</details>",
    ]
