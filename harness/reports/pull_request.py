"""The report on a proposed change: Markdown for "Additional Information" in upstream's pull request template.

What changed is visible at once; everything else is folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from harness.records.change import ChangeKind
from harness.records.record import Cell
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.reports import before_after, builds
from harness.reports.before_after import Change, SidePair
from harness.reports.headline import headline
from harness.reports.markdown import Lines, code, escape, full_table, head, row, unstable, verdict_with_bound
from harness.reports.table import ReportTable, case_id
from harness.reports.vocabulary import headline_error
from harness.text import one_line, plural
from sdcpp.process import quoted

#: The largest number of changed cases, of changed files, and of reasons why cases are not judged, that are listed.
CHANGED, FILES, REASONS = 30, 12, 6
#: The largest number of unstable cells that are listed.
UNSTABLE = 10
#: The largest number of commits, and of commands that search for one, that are listed.
COMMITS, SEARCHES = 100, 8
#: The number of lines of the folded table.
FOLDED = 400
#: Times below this many seconds are noise: their ratio is not printed.
NOISE = 0.05
#: The smallest number of cases whose medians are shown.
MEASURED = 3
#: What the numbers in the table of the changed cases mean.
NUMBERS = (
    "A number is the effect error, then its tolerance: 0 is the wanted picture, 1 that without the adapter."
)
#: The costs of applying an adapter: the key in ``Cell.applying``, and the heading of the column.
COSTS = {
    "seconds": "wall time",
    "processor": "CPU time",
    "more": "CPU time added by the adapter",
    "memory": "peak memory",
}


def render(table: ReportTable) -> str:
    """Return the report."""
    pairs = before_after.pairs(table)
    lines = [f"**{escape(headline(table, pairs))}.**", ""]
    for pair in pairs:
        changes = before_after.changes(table, pair)
        lines += _states(table, pair, changes)
        lines += _changed(changes)
        lines += _searches(table, pair, changes)
        lines += _not_judged(changes)
        lines += _costs(changes)
    lines += unstable(table, UNSTABLE)
    lines += ["```sh", one_line(table.records.run.command), "```", ""]
    if table.records.cells:
        lines += full_table(table, FOLDED)
    lines += _origin(table, pairs)
    return "\n".join(lines) + "\n"


def _facts(table: ReportTable, pair: SidePair) -> dict[str, Any]:
    return dict(table.records.run.proposal[pair.before.revision])


def _states(table: ReportTable, pair: SidePair, changes: Sequence[Change]) -> Lines:
    """Return what is compared: the two states, the changed files, the device and the compiler."""
    facts = _facts(table, pair)
    files, compare = facts["files"], facts.get("compare")
    listed = ", ".join(
        f"{code(name)} {_line_counts(added, removed)}" for name, added, removed in files[:FILES]
    )
    rest = f" and {plural(len(files) - FILES, 'more file')}" if len(files) > FILES else ""
    change = f"{listed}{rest}"
    if not files:
        change = plural(len(facts["commits"]), "commit") + (f": {compare}" if compare else "")
    passing = before_after.still_passing(changes)
    return [
        f"- before: {escape(facts['before'])}",
        f"- after: {escape(facts['after'])}",
        f"- change: {change}",
        *([f"- cases: {escape(facts['cases'])}"] if facts.get("cases") else []),
        f"- {escape(_device(table, pair))}; {escape(builds.compiler(pair.after))}",
        *([f"- {escape(before_after.summary(table, pair))}"] if len(before_after.pairs(table)) > 1 else []),
        *([f"- {escape(passing)}"] if passing else []),
        "",
    ]


def _line_counts(added: int | None, removed: int | None) -> str:
    return "binary" if added is None or removed is None else f"+{added} −{removed}"


def _device(table: ReportTable, pair: SidePair) -> str:
    """Return backend, device, driver and operating system."""
    side = pair.after
    parts = [side.backend, side.device, side.driver, table.records.run.machine.get("system", "")]
    return "; ".join(part for part in parts if part)


def _changed(changes: Sequence[Change]) -> Lines:
    """Return the table of the cases that changed, the regressions first, with their evidence as numbered notes."""
    left_out = (ChangeKind.UNCHANGED, ChangeKind.NOT_JUDGED, ChangeKind.UNSTABLE)
    changed = [change for change in changes if change.kind not in left_out]
    changed.sort(key=lambda change: list(ChangeKind).index(change.kind))
    evidence: dict[str, int] = {}
    rows = [
        row(
            [
                f"**{change.kind}**" if change.kind is ChangeKind.REGRESSED else str(change.kind),
                _case(change),
                _result(change.before, evidence),
                _result(change.after, evidence),
            ]
        )
        for change in changed[:CHANGED]
    ]
    if not rows:
        return []
    if len(changed) > CHANGED:
        rows.append(row([f"{plural(len(changed) - CHANGED, 'more case')} in report.html", "", "", ""]))
    notes = [f"[{mark}] {code(text, 160)}<br>" for text, mark in evidence.items()]
    meaning = [NUMBERS, ""] if any(_has_number(change) for change in changed[:CHANGED]) else []
    return [*head(["", "case", "before", "after"]), *rows, "", *meaning, *notes, *([""] if notes else [])]


def _has_number(change: Change) -> bool:
    return any(cell and headline_error(cell) is not None for cell in (change.before, change.after))


def _searches(table: ReportTable, pair: SidePair, changes: Sequence[Change]) -> Lines:
    """Return the commands that find the commits which broke cases, if the states are commits of one repository."""
    command = _facts(table, pair).get("bisect")
    broken = [
        change.after
        for change in changes
        if change.before and change.after and change.kind is ChangeKind.REGRESSED
        if change.before.verdict is Verdict.PASS and change.after.verdict not in NOT_JUDGED
    ]
    if not (command and broken):
        return []
    backend = ["--backend", pair.after.backend] if pair.after.backend != "cpu" else []
    searches = [
        quoted([*command, *backend, "--case", case_id(cell), "--base-model", cell.dimensions["base"]])
        for cell in broken[:SEARCHES]
    ]
    more = [f"# {plural(len(broken) - SEARCHES, 'more case')}"] if len(broken) > SEARCHES else []
    return ["Which commit did it?", "", "```sh", *searches, *more, "```", ""]


def _not_judged(changes: Sequence[Change]) -> Lines:
    """Return how many cases are not judged, by the reason after the change, the most frequent first."""
    reasons = Counter(
        one_line(change.after.evidence.partition("\n")[0] or str(change.after.verdict))
        for change in changes
        if change.kind is ChangeKind.NOT_JUDGED and change.after
    )
    lines = [
        f"- not judged: {plural(count, 'case')}: {code(text, 300)}"
        for text, count in reasons.most_common(REASONS)
    ]
    if len(reasons) > REASONS:
        lines.append(f"- {plural(len(reasons) - REASONS, 'more reason')} in report.html")
    return [*lines, ""] if lines else []


def _case(change: Change) -> str:
    cell = change.after or change.before
    if cell is None:
        return ""
    base = cell.dimensions.get("base", "")
    return code(case_id(cell)) + (f" {escape(base)}" if base else "")


def _result(cell: Cell | None, evidence: dict[str, int]) -> str:
    """Return the result of a cell with a reference to its evidence, which is added to ``evidence``."""
    if cell is None:
        return "–"
    if cell.verdict is Verdict.PASS or not cell.evidence:
        return verdict_with_bound(cell)
    first_line = cell.evidence.partition("\n")[0]
    return f"{verdict_with_bound(cell)} [{evidence.setdefault(first_line, len(evidence) + 1)}]"


def _costs(changes: Sequence[Change]) -> Lines:
    """Return the table of the cost of applying an adapter: medians of the cases with a picture on both sides.

    Fewer than ``MEASURED`` cases have no row.
    """
    groups: dict[tuple[str, str], list[tuple[Cell, Cell]]] = {}
    for change in changes:
        if change.before and change.after and change.before.applying and change.after.applying:
            key = change.before.dimensions.get("base", ""), change.mode
            groups.setdefault(key, []).append((change.before, change.after))
    rows = [
        row([escape(f"{base} {mode}".strip()), *(_cost(cells, name) for name in COSTS), str(len(cells))])
        for (base, mode), cells in groups.items()
        if len(cells) >= MEASURED
    ]
    if not rows:
        return []
    return [
        *head(["a picture with an adapter", *COSTS.values(), "cases"]),
        *rows,
        "",
        "Medians. Each case was measured once, while other cases ran. CPU time varies less than wall time, because the",
        "library sleeps while its threads load files. No ratio is given for times below "
        f"{1000 * NOISE:.0f} ms. Peak memory is that of the whole process.",
        "",
    ]


def _cost(cells: Sequence[tuple[Cell, Cell]], name: str) -> str:
    before, after = (median(cell.applying[name] for cell in side) for side in zip(*cells, strict=True))
    if name == "memory":
        return f"{before / 2**20:.0f} -> {after / 2**20:.0f} MiB, ×{after / before:.2f}"
    ratio = f", ×{after / before:.2f}" if min(before, after) >= NOISE else ""
    return f"{1000 * before:.0f} -> {1000 * after:.0f} ms{ratio}"


def _origin(table: ReportTable, pairs: Iterable[SidePair]) -> Lines:
    """Return what is needed to repeat the run, folded: commits, uncommitted files, build options, machine."""
    lines = ["<details><summary>Commits, build options, machine</summary>", ""]
    for pair in pairs:
        facts = _facts(table, pair)
        commits = facts["commits"]
        lines += [f"- commit {code(name[:12])} {escape(subject)}" for name, subject in commits[:COMMITS]]
        if len(commits) > COMMITS:
            lines.append(f"- {plural(len(commits) - COMMITS, 'more commit')}")
        lines += [f"- not committed: {code(name)}" for name in facts["uncommitted"]]
        lines += [
            f"- {escape(side.label)}: "
            + escape("; ".join(f"{name}: {value}" for name, value in builds.entries(side)))
            for side in (pair.before, pair.after)
        ]
    run = table.records.run
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    lines += [
        f"- {escape(machine)}",
        f"- {escape(run.started)}, harness {escape(run.project)}",
        "",
        "</details>",
    ]
    return lines
