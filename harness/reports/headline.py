"""The headline of a run: its result in one sentence, the same in every report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.judging.unjudged import base_failures, complaints, unjudged
from harness.records.change import ChangeKind
from harness.records.verdict import Status, Verdict
from harness.reports import before_after
from harness.reports.before_after import SidePair
from harness.reports.table import ReportTable
from harness.text import plural

#: The names of two states of which neither has a name of its own.
UNNAMED = ("before", "after")


def good(table: ReportTable) -> bool:
    """Tell whether the run is finished, could be judged, and has no result that fails it."""
    records = table.records
    return bool(records.finished) and not records.failing and not complaints(records.cells)


def headline(table: ReportTable, pairs: Sequence[SidePair]) -> str:
    """Return the result of the run in one sentence without a full stop.

    A run that judges nothing or too little, or that is not finished, is never reported as good. What was not judged is
    counted separately.
    """
    if table.records.run.proposal:
        return _proposal_headline(table, pairs)
    counts, cells = table.statuses, table.records.cells
    total = len(cells)
    if total == sum(cell.status is Status.SKIPPED and cell.verdict is not Verdict.UNSTABLE for cell in cells):
        return "No case was tested, so there is no result" + (
            f" ({plural(total, 'cell')} skipped)" if total else ""
        )
    missing = unjudged(cells)
    judged = {id(cell) for cell in cells} - {id(cell) for cell in missing}
    failed = [cell for cell in cells if cell.status is Status.UNEXPECTED and id(cell) in judged]
    expected = sum(cell.status is Status.XFAIL and id(cell) in judged for cell in cells)
    problems = complaints(cells)
    parts = []
    if failed:
        verdicts = Counter(str(cell.verdict) for cell in failed)
        kinds = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        parts.append(f"{len(failed)} of {plural(total, 'cell')} failed unexpectedly ({kinds})")
    if counts.get(Status.XPASS, 0):
        parts.append(f"{plural(counts[Status.XPASS], 'cell')} passed although a failure was expected")
    if not parts:
        good = "" if problems or table.records.failing else "As expected: "
        parts.append(f"{good}{counts.get(Status.PASS, 0)} of {plural(total, 'cell')} passed")
    if expected:
        parts.append(f"{expected} failed as expected")
    for name, some in (
        ("not judged", [cell for cell in missing if cell.verdict is not Verdict.UNSTABLE]),
        ("unstable", table.unstable),
    ):
        known = sum(cell.status is Status.XFAIL for cell in some)
        if some:
            parts.append(f"{len(some)} {name}" + (f" ({known} of them as expected)" if known else ""))
    text = ", ".join(parts)
    found = Counter(
        change.kind
        for pair in pairs
        if not before_after.same_build(pair)
        for change in before_after.changes(table, pair)
    )
    if found:
        fixed = plural(found[ChangeKind.FIXED], "cell") if found[ChangeKind.FIXED] else "no cell"
        text += f"; the patches fix {fixed} and break {found[ChangeKind.REGRESSED] or 'none'}"
    if not table.records.finished:
        return f"Incomplete run, so far: {text[0].lower()}{text[1:]}"
    return f"The run cannot be judged: {'; '.join(problems)}; {text}" if problems else text


def _proposal_headline(table: ReportTable, pairs: Sequence[SidePair]) -> str:
    """Return the effect of a proposed change, in one sentence without a full stop."""
    found = [change for pair in pairs for change in before_after.changes(table, pair)]
    same = any(facts["same"] for facts in table.records.run.proposal.values())
    problems = complaints(table.records.cells)
    if not table.records.finished:
        result = "Incomplete run, so far: "
    elif base_failures(table.records.cells):
        result = f"The change cannot be judged: {'; '.join(problems)}; "
    elif not same and not any(change.tried for change in found):
        result = "No case was tested, so there is no result: "
    elif problems:
        result = f"The change cannot be judged: {'; '.join(problems)}; "
    elif any(change.kind is ChangeKind.REGRESSED for change in found):
        result = "The change makes something worse: "
    else:
        result = "The change makes nothing worse: "
    several = len(pairs) > 1
    parts = []
    for pair in pairs:
        names = f"{pair.label}, {' -> '.join(pair.names)}: "
        if pair.names == UNNAMED:
            names = f"{pair.label}: " if several else ""
        parts.append(names + before_after.summary(table, pair))
    return result + "; ".join(parts)
