"""Numbers, plurals and lists as text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """Return a number with the digits worth reading: two significant below 1, three above."""
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
    """Return ``1 cell`` or ``2 cells``."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def listed(words: Sequence[str], limit: int) -> str:
    """Return the first ``limit`` words joined by commas, and how many were left out."""
    if len(words) <= limit:
        return ", ".join(words)
    return ", ".join(words[:limit]) + f" and {len(words) - limit} more"


def one_line(text: str, width: int = 0) -> str:
    """Return the text without line breaks and control characters, cut to ``width`` characters if given."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if not width or len(line) <= width else line[: width - 1] + "…"
