"""Numbers, counted nouns, lists and foreign text as short text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """Return a number with two significant digits below 1, three from 1 to 100, and without decimals above."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.0001:
        return "<0.0001"
    if size < 1:
        return f"{value:.2g}"
    return f"{value:.3g}" if size < 100 else f"{value:.0f}"


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun, such as ``1 cell`` or ``2 cells``. ``many`` is the plural if it is irregular."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def listed(items: Sequence[str], limit: int) -> str:
    """Return the first ``limit`` items joined by commas, and the number of the others: ``a, b and 3 more``."""
    if len(items) <= limit:
        return ", ".join(items)
    return ", ".join(items[:limit]) + f" and {len(items) - limit} more"


def one_line(text: str, width: int = 0) -> str:
    """Return the text in one line, without control characters, and cut to ``width`` characters unless that is 0."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if not width or len(line) <= width else line[: width - 1] + "…"
