"""Numbers, counted nouns, lists and foreign text as short text, and the shell wildcards that a text fits."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from html import escape

from sdcpp.printable import printable


@cache
def fits(value: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether one of the shell wildcards matches.

    Judging asks this a million times for a few thousand values, hence the cache.
    """
    return any(fnmatchcase(value, pattern) for pattern in patterns)


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" with the known name that is most like a mistyped word, or "" if none is like it.

    Capitals do not matter.
    """
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""


def one_line(text: str, width: int = 0) -> str:
    """Return the text in one line, with control characters as escapes, cut to ``width`` characters unless that is 0."""
    line = printable(" ".join(text.split()))
    return line if not width or len(line) <= width else line[: width - 1] + "…"


def xml_text(text: str) -> str:
    """Return any text for XML or SVG: control characters, many of which XML cannot hold, are shown as escapes."""
    return escape(printable(text, "\n\t"), quote=False)


def json_text(data: object) -> str:
    """Return values as indented JSON in ASCII, with null for NaN and infinity, which JSON does not have.

    ASCII can be printed on every terminal, and it contains no control characters, whatever a file has in its names.
    """
    return json.dumps(_finite(data), indent=1, allow_nan=False)


def _finite(data: object) -> object:
    """Return values with None in place of NaN and infinity."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data


def busy(load: float | None) -> str:
    """Return a sentence that says how busy the machine was before a measurement, with a space before it, or ""."""
    return "" if load is None else f" Before the measurement {load:.1f} processes wanted a core."
