"""The change of a case from one side to another: fixed, regressed, unchanged, not judged and so on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from harness.records.record import Cell
from harness.records.verdict import LOST, NOT_JUDGED, Verdict, worse


class ChangeKind(StrEnum):
    """The kinds of changes, the worst first."""

    REGRESSED = "regressed"
    CHANGED = "changed"
    UNSTABLE = "unstable"  # one of the two builds does not always give the same result
    FIXED = "fixed"
    NOT_JUDGED = "not judged"  # it is not known whether anything changed
    JUDGED_NOW = "judged now"  # the case was not judged before
    UNCHANGED = "unchanged"
    ONE_SIDE = "one side only"


def change_kind(before: Cell | None, after: Cell | None) -> ChangeKind:
    """Return the kind of the change from one cell to another. A cell is None if the case did not run on that side.

    A case that both sides refuse, or whose base model makes no picture on either side, is not judged: that says nothing
    about the change. A case that is UNSTABLE on one side, or on both, is neither regressed nor fixed.
    """
    if before is None or after is None:
        return ChangeKind.ONE_SIDE
    if Verdict.UNSTABLE in (before.verdict, after.verdict):
        return ChangeKind.UNSTABLE
    if worse(before.verdict, after.verdict) or _lost_a_picture(before, after):
        return ChangeKind.REGRESSED
    not_judged = after.verdict in NOT_JUDGED or same_refusal([before, after])
    if not_judged or before.verdict in NOT_JUDGED:
        return ChangeKind.NOT_JUDGED if not_judged else ChangeKind.JUDGED_NOW
    if before.verdict is after.verdict:
        return ChangeKind.UNCHANGED
    return ChangeKind.FIXED if after.verdict is Verdict.PASS else ChangeKind.CHANGED


def same_refusal(cells: Sequence[Cell]) -> bool:
    """Tell whether the cells of a case on several sides are all REFUSED, or all lack a working base model."""
    return {cell.verdict for cell in cells} == {Verdict.REFUSED} or all(cell.base_failure for cell in cells)


def _lost_a_picture(before: Cell, after: Cell) -> bool:
    """Tell whether the process survives no longer in a case that was not judged before but had a picture."""
    return before.verdict in NOT_JUDGED and "got" in before.pictures and after.verdict in LOST
