"""Say why matrices of a converted file stay float although a quantised type was asked for, and what helps."""

from __future__ import annotations

from collections.abc import Sequence

from harness.converter.plan import TensorPlan
from harness.formats.tensor import SIZES

#: The number of values in a block of the types that short rows can have, and those types from good to small.
BLOCK = 32
_TYPES = ("Q8_0", "Q5_0", "Q4_0")


def advice(plans: Sequence[TensorPlan]) -> str:
    """Return a line about the matrices whose rows are no whole blocks and that stay float, or "" if there are none."""
    short = [planned for planned in plans if planned.unfilled]
    total = sum(planned.tensor.size for planned in plans)
    if not short or not total:
        return ""
    assert short[0].unfilled  # noqa: S101 - for mypy
    block, kind = short[0].unfilled.block, short[0].unfilled.name
    share = sum(planned.tensor.size for planned in short) / total
    rows = sorted({planned.tensor.row for planned in short})
    listed = ", ".join(map(str, rows[:3])) + (" and other lengths" if len(rows) > 3 else "")
    line = f"{share:.0%} of the values stay float: rows of {listed} are no whole blocks of {block} ({kind})"
    if block > BLOCK and all(row % BLOCK == 0 for row in rows):
        return f"{line}; name a second type for them, for example --type {kind},Q4_0"
    bits = 8 * sum(planned.nbytes for planned in plans) / total
    for other in dict.fromkeys((kind, *_TYPES)):
        padded = _padded_bits(other, rows[0])
        if SIZES[other][0] == BLOCK and padded < bits:
            return (
                f"{line}; with --type {other} --rebalance --pad-rank all of a LoRA is quantised, "
                f"with {padded:.2f} bits per weight instead of {bits:.2f}"
            )
    return f"{line}; no type with a padded rank is smaller"


def _padded_bits(kind: str, rank: int) -> float:
    """Return the bits for each weight of factors whose rank is padded to whole blocks of a type."""
    block, width = SIZES[kind]
    return 8 * width / block * (-(-rank // block) * block / rank)
