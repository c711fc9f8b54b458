"""The words that every report uses: numbers as text, and what verdicts, standings and numbers mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.record import Cell
from harness.verdict import Standing, Verdict

#: From what must be looked at first to what needs no look at all.
SEVERITY = (Standing.RED, Standing.FIXED, Standing.KNOWN, Standing.GOOD, Standing.IDLE)

#: A shape for each standing, so that nothing is said by colour alone. The second one is for ASCII terminals.
SHAPES = {
    Standing.RED: ("✗", "x"),
    Standing.FIXED: ("★", "*"),
    Standing.KNOWN: ("◆", "~"),
    Standing.GOOD: ("✓", "+"),
    Standing.IDLE: ("–", "-"),
}

STANDINGS = {
    Standing.RED: "failed, and nobody expected it",
    Standing.FIXED: "passed although an expectation says that it fails: remove the expectation",
    Standing.KNOWN: "failed in the way that was known before",
    Standing.GOOD: "passed",
    Standing.IDLE: "nothing was tried",
}

VERDICTS = {
    Verdict.PASS: "The picture is the one that the adapter means.",
    Verdict.NO_EFFECT: "The adapter was silently ignored: the picture is the one without it.",
    Verdict.WRONG: "A picture came, but not the one that the adapter means.",
    Verdict.ABORT: "A signal or a failed assertion ended the process.",
    Verdict.TIMEOUT: "No picture came in the time allowed.",
    Verdict.REFUSED: "The library declined.",
    Verdict.UNSUPPORTED: "The device or the revision says that it cannot do this.",
    Verdict.SKIPPED: "Not tried here.",
    Verdict.MISDIRECTED: "The library ran on another backend than asked for.",
    Verdict.UNJUDGED: "A picture that this one is compared with could not be made.",
}

NUMBERS = {
    "effect": (
        "Effect",
        "RMS difference between the wanted pictures with and without the adapter: how much there is to see.",
    ),
    "error": (
        "Effect error",
        "‖got − wanted‖ / ‖wanted − without‖: 0 is a perfect adapter, 1 is as bad as none at all.",
    ),
    "tolerance": ("Tolerance", "The effect error up to which the case passes."),
    "loss": (
        "Loss",
        "Effect error against the float adapter that this one was quantised from: what quantising costs, "
        "not a mistake of the loader.",
    ),
    "seconds": ("Time", "Wall-clock time of the shot, loading included."),
    "memory": ("Peak memory", "The worker's largest resident set."),
}


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


def figures(cell: Cell) -> dict[str, str]:
    """Return the numbers that a cell has, as text with units; the keys are those of ``NUMBERS``."""
    found = {}
    if cell.effect is not None:
        found["effect"] = f"{number(cell.effect)} grey levels of 255"
    if cell.error is not None:
        found["error"] = number(cell.error)
    if cell.tolerance is not None:
        found["tolerance"] = number(cell.tolerance)
    elif cell.why:
        found["tolerance"] = "none"
    if cell.loss is not None and telling(cell) is not None:
        found["loss"] = number(cell.loss)
    if cell.seconds:
        found["seconds"] = f"{number(cell.seconds)} s"
    if cell.memory:
        found["memory"] = f"{cell.memory / 2**20:.0f} MiB"
    return found


def short(cell: Cell) -> str:
    """Return the verdict and, where the effect error says something, the error: ``PASS 0.012``."""
    error = telling(cell)
    return str(cell.verdict) if error is None else f"{cell.verdict} {number(error)}"


def telling(cell: Cell) -> float | None:
    """Return the effect error if it adds to the verdict, or None.

    That of an ignored adapter is always 1, and one without a tolerance, of a broken file, decides nothing.
    """
    return (
        cell.error if cell.verdict in {Verdict.PASS, Verdict.WRONG} and cell.tolerance is not None else None
    )


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


def worst(cells: Iterable[Cell]) -> int:
    """Return the place in ``SEVERITY`` of the worst standing among the cells; past its end without cells."""
    return min((SEVERITY.index(cell.standing) for cell in cells), default=len(SEVERITY))
