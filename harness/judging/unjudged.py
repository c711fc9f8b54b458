"""What a run could not judge, and whether it judged enough to be worth anything.

A side on which the base model makes no picture without an adapter judges nothing. Other cells that are not judged may
be a small share of a side, unless an expectation explains them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.change import same_refusal
from harness.records.record import Cell
from harness.records.verdict import NOT_JUDGED, Status, Verdict
from harness.text import listed, plural

#: The largest share of a side's cells that may be without a judgement and without an expectation that explains it.
LARGEST_SHARE = 1 / 20
#: A side with fewer cells than this may have as many unstable cells as one with so many: a single unstable case, run
#: alone, fails no run.
UNSTABLE_OF = 100


def unjudged(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells that are not judged.

    A case that is refused on all of several sides of a revision is not judged, nor is one whose base model works on
    none of them: that says nothing about what distinguishes the sides.
    """
    cells = list(cells)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        names = ("revision", "backend", "base", "mode")
        groups.setdefault((cell.case, *(cell.dimensions.get(name, "") for name in names)), []).append(cell)
    refused = {
        id(cell)
        for group in groups.values()
        if len({cell.side for cell in group}) > 1 and same_refusal(group)
        for cell in group
    }
    return [cell for cell in cells if cell.verdict in NOT_JUDGED or id(cell) in refused]


def unexplained(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells that are not judged although no expectation says so."""
    return [cell for cell in unjudged(cells) if cell.status is not Status.XFAIL]


def base_failures(cells: Iterable[Cell]) -> list[str]:
    """Return a clause for each base model that makes no picture without an adapter, with the sides and the reason."""
    first: dict[tuple[str, str], str] = {}
    for cell in cells:
        if cell.base_failure:
            first.setdefault((cell.side, cell.dimensions.get("base", "")), cell.base_failure)
    sides: dict[str, list[str]] = {}
    for (side, _), reason in first.items():
        sides.setdefault(reason, []).append(side)
    return [f"on {listed(names, 4)}, {reason}" for reason, names in sides.items()]


def complaints(cells: Sequence[Cell]) -> list[str]:
    """Return the reasons why a run cannot be judged, as clauses, or nothing if it can.

    The reasons are base models that make no picture without an adapter, and sides without such a base model of which
    more than ``LARGEST_SHARE`` is not judged, or is unstable, and not expected to be so.
    """
    found = base_failures(cells)
    failing = {cell.side for cell in cells if cell.base_failure}
    unknown = unexplained(cells)
    unstable = [cell for cell in unknown if cell.verdict is Verdict.UNSTABLE]
    missing = [cell for cell in unknown if cell.verdict is not Verdict.UNSTABLE]
    for side in dict.fromkeys(cell.side for cell in cells):
        total = sum(cell.side == side for cell in cells)
        for what, some, of in (
            ("not judged", missing, total),
            ("unstable", unstable, max(total, UNSTABLE_OF)),
        ):
            count = sum(cell.side == side for cell in some)
            if side not in failing and count > LARGEST_SHARE * of:
                verb = "is" if count == 1 else "are"
                found.append(
                    f"{count} of {plural(total, 'cell')} on {side} {verb} {what}, more than {LARGEST_SHARE:.0%}"
                )
    return found
