"""Tell whether a build gives the same result for a case each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.judging import oracle
from harness.judging.expectation import Expectation, status
from harness.records.change import ChangeKind, change_kind
from harness.records.pictures import Pixels
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.text import plural


def difference(first: Cell, later: Sequence[Cell], pictures: Mapping[str, Pixels]) -> str:
    """Return how several runs of one case on one build differ, or "" if they agree.

    ``first`` and ``later`` are the judgements of the runs, ``pictures`` has the pictures by hash. Runs differ if their
    verdicts differ, or if their pictures differ by more than the tolerance of the case, which is nothing for a case
    that compares bytes.
    """
    if all(cell.verdict is first.verdict and not _apart(first, cell, pictures) for cell in later):
        return ""
    runs = [first, *later]
    verdicts = Counter(str(cell.verdict) for cell in runs)
    text = ", ".join(f"{verdict} in {count}" for verdict, count in verdicts.items())
    found = {cell.pictures["got"] for cell in runs if "got" in cell.pictures}
    made = f", {len(found)} different pictures" if len(found) > 1 else ""
    return f"{plural(len(runs), 'run')} of the same build differ: {text}{made}"


def _apart(first: Cell, other: Cell, pictures: Mapping[str, Pixels]) -> bool:
    """Tell whether the pictures of two runs differ by more than the tolerance allows."""
    names = [cell.pictures.get("got") for cell in (first, other)]
    if names[0] == names[1]:
        return False
    if None in names or first.tolerance is None or not first.effect:
        return True
    one, two = (pictures[str(name)] for name in names)
    return oracle.rms(one, two) / first.effect > first.tolerance


def unstable(cell: Cell, why: str, entry: Expectation | None) -> Cell:
    """Return an UNSTABLE cell, with the reason as its evidence; ``entry`` is the expectation for the case."""
    found = status(Verdict.UNSTABLE, entry)
    reason = entry.reason if entry and found is Status.XFAIL else ""
    return replace(cell, verdict=Verdict.UNSTABLE, status=found, reason=reason, evidence=why)


def suspicious(before: Cell, after: Cell, *, proposed: bool) -> bool:
    """Tell whether a change between two sides may be an accident.

    A regression always may. Of a proposed change, a case that is fixed or fails in another way may, too; the patches of
    this project change hundreds of cells for the better, and expectations say which.
    """
    kinds = {ChangeKind.REGRESSED, *((ChangeKind.FIXED, ChangeKind.CHANGED) if proposed else ())}
    return change_kind(before, after) in kinds


def by_nature(before: Cell, cell: Cell, entries: Sequence[Expectation | None]) -> Cell:
    """Return ``cell``, or an UNSTABLE one if the expectations on both sides say that both results may occur.

    Repeats cannot show that a result depends on the memory of the process if the memory is the same each time for one
    build and different for the other. ``before`` is the same case on the other side, ``entries`` are the expectations
    for the case before and after.
    """
    verdicts = {before.verdict, cell.verdict}
    if not all(entry and entry.unstable and verdicts <= set(entry.verdicts) for entry in entries):
        return cell
    why = f"{before.verdict} before, {cell.verdict} after; both occur on one build, as the expectation says"
    return unstable(cell, why, entries[-1])
