"""The report on a proposed change: Markdown for "Additional Information" in upstream's pull request template.

What changed stands in the open, everything else is folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.reports import before_after, builds
from harness.reports.before_after import Change, SidePair
from harness.reports.markdown import Lines, code, escape, full, head, row, short
from harness.reports.table import ReportTable, title
from harness.text import one_line, plural

#: Rows of the tables that stand in the open; what is more is counted and stands in report.html.
CHANGED, FILES = 30, 12
#: Lines of the folded table.
FOLDED = 400
#: Below this, a processor time is noise and a ratio of two would mislead, in seconds.
NOISE = 0.05
#: What applying costs: the key in ``Cell.applying`` and what the report calls it.
COSTS = {
    "seconds": "picture with it",
    "processor": "processor time of that",
    "more": "more than without",
    "memory": "peak memory",
}


def render(shown: ReportTable) -> str:
    """Return the report."""
    pairs = before_after.pairs(shown)
    lines = [f"**{escape(before_after.sentence(shown, pairs))}.**", ""]
    for pair in pairs:
        found = before_after.changes(shown, pair)
        lines += _states(shown, pair, found)
        lines += _changed(found)
        lines += _costs(found)
    lines += ["```sh", one_line(shown.records.run.command), "```", ""]
    if shown.records.cells:
        lines += full(shown, FOLDED)
    lines += _about(shown, pairs)
    return "\n".join(lines) + "\n"


def _facts(shown: ReportTable, pair: SidePair) -> dict[str, Any]:
    return dict(shown.records.run.proposal[pair.before.revision])


def _states(shown: ReportTable, pair: SidePair, found: Sequence[Change]) -> Lines:
    facts = _facts(shown, pair)
    files = facts["files"]
    named = ", ".join(f"{code(name)} {_counts(added, removed)}" for name, added, removed in files[:FILES])
    more = f" and {plural(len(files) - FILES, 'file')} more" if len(files) > FILES else ""
    return [
        f"- before: {escape(facts['before'])}",
        f"- after: {escape(facts['after'])}",
        f"- change: {named}{more}",
        f"- {escape(_device(shown, pair))}; {escape(builds.compiler(pair.after))}",
        *([f"- {escape(before_after.summary(shown, pair))}"] if len(before_after.pairs(shown)) > 1 else []),
        *([f"- {escape(before_after.kept(found))}"] if before_after.kept(found) else []),
        "",
    ]


def _counts(added: int | None, removed: int | None) -> str:
    return "binary" if added is None or removed is None else f"+{added} −{removed}"


def _device(shown: ReportTable, pair: SidePair) -> str:
    """Return where it ran: backend, device, driver, system."""
    side = pair.after
    words = [side.backend, side.device, side.driver, shown.records.run.machine.get("system", "")]
    return "; ".join(word for word in words if word)


def _changed(found: Sequence[Change]) -> Lines:
    changed = [each for each in found if each.kind != "unchanged"]
    changed.sort(key=lambda each: before_after.KINDS.index(each.kind))
    evidence: dict[str, int] = {}
    lines = [
        row([_became(each), _where(each), _told(each.before, evidence), _told(each.after, evidence)])
        for each in changed[:CHANGED]
    ]
    if len(changed) > CHANGED:
        lines.append(row([f"{len(changed) - CHANGED} more in report.html", "", "", ""]))
    notes = [f"[{mark}] {code(text, 160)}<br>" for text, mark in evidence.items()]
    return (
        [*head(["", "case", "before", "after"]), *lines, "", *notes, *([""] if notes else [])]
        if lines
        else []
    )


def _became(found: Change) -> str:
    return f"**{found.kind}**" if found.kind == "regressed" else found.kind


def _where(found: Change) -> str:
    cell = found.after or found.before
    if cell is None:
        return ""
    base = cell.dimensions.get("base", "")
    return code(title(cell)) + (f" {escape(base)}" if base else "")


def _told(cell: Cell | None, evidence: dict[str, int]) -> str:
    """Return what a cell says; its evidence becomes a note, once."""
    if cell is None:
        return "–"
    if cell.verdict is Verdict.PASS or not cell.evidence:
        return short(cell)
    return f"{short(cell)} [{evidence.setdefault(cell.evidence.partition(chr(10))[0], len(evidence) + 1)}]"


def _costs(found: Sequence[Change]) -> Lines:
    """Return the table of what applying costs: medians over the cases that made a picture on both sides."""
    groups: dict[tuple[str, str], list[tuple[Cell, Cell]]] = {}
    for each in found:
        if each.before and each.after and each.before.applying and each.after.applying:
            place = each.before.dimensions.get("base", ""), each.mode
            groups.setdefault(place, []).append((each.before, each.after))
    rows = [
        row([escape(f"{base} {mode}".strip()), *(_cost(cells, name) for name in COSTS), str(len(cells))])
        for (base, mode), cells in groups.items()
    ]
    if not rows:
        return []
    return [
        *head(["applying an adapter, medians", *COSTS.values(), "cases"]),
        *rows,
        "",
        "Measured once a case, several at a time, while the library sleeps whenever its threads load a file: processor",
        f"time is steadier. A ratio of times under {1000 * NOISE:.0f} ms would be noise. Peak memory is the process's.",
        "",
    ]


def _cost(cells: Sequence[tuple[Cell, Cell]], name: str) -> str:
    before, after = (median(cell.applying[name] for cell in side) for side in zip(*cells, strict=True))
    if name == "memory":
        return f"{before / 2**20:.0f} -> {after / 2**20:.0f} MiB, ×{after / before:.2f}"
    ratio = f", ×{after / before:.2f}" if min(before, after) >= NOISE else ""
    return f"{1000 * before:.0f} -> {1000 * after:.0f} ms{ratio}"


def _about(shown: ReportTable, pairs: Iterable[SidePair]) -> Lines:
    """Return what is to be known to do it again, folded: commits, files, build options, machine."""
    lines = ["<details><summary>Commits, build options, machine</summary>", ""]
    for pair in pairs:
        facts = _facts(shown, pair)
        lines += [f"- commit {code(name[:12])} {escape(subject)}" for name, subject in facts["commits"]]
        lines += [f"- not committed: {code(name)}" for name in facts["uncommitted"]]
        lines += [
            f"- {escape(side.label)}: "
            + escape("; ".join(f"{name}: {value}" for name, value in builds.entries(side)))
            for side in (pair.before, pair.after)
        ]
    run = shown.records.run
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    lines += [
        f"- {escape(machine)}",
        f"- {escape(run.started)}, harness {escape(run.project)}",
        "",
        "</details>",
    ]
    return lines
