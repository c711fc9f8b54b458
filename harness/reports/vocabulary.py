"""The words that every report uses: numbers as text, and what verdicts, statuses and numbers mean."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.text import number

#: From what must be looked at first to what needs no look at all.
SEVERITY = (Status.UNEXPECTED, Status.XPASS, Status.XFAIL, Status.PASS, Status.SKIPPED)

#: A shape for each status, so that nothing is said by colour alone. The second one is for ASCII terminals.
SHAPES = {
    Status.UNEXPECTED: ("✗", "x"),
    Status.XPASS: ("★", "*"),
    Status.XFAIL: ("◆", "~"),
    Status.PASS: ("✓", "+"),
    Status.SKIPPED: ("–", "-"),
}

STATUSES = {
    Status.UNEXPECTED: "failed, no failure was expected",
    Status.XPASS: "passed, a failure was expected: remove the expectation",
    Status.XFAIL: "failed as expected",
    Status.PASS: "passed",
    Status.SKIPPED: "not tried",
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
    if cell.loss is not None and headline_error(cell) is not None:
        found["loss"] = number(cell.loss)
    if cell.seconds:
        found["seconds"] = f"{number(cell.seconds)} s"
    if cell.memory:
        found["memory"] = f"{cell.memory / 2**20:.0f} MiB"
    return found


def short(cell: Cell) -> str:
    """Return the verdict and, where the effect error says something, the error: ``PASS 0.012``."""
    error = headline_error(cell)
    return str(cell.verdict) if error is None else f"{cell.verdict} {number(error)}"


def headline_error(cell: Cell) -> float | None:
    """Return the effect error if it adds to the verdict, or None.

    That of an ignored adapter is always 1, and one without a tolerance, of a broken file, decides nothing.
    """
    return (
        cell.error if cell.verdict in {Verdict.PASS, Verdict.WRONG} and cell.tolerance is not None else None
    )


def worst(cells: Iterable[Cell]) -> int:
    """Return the place in ``SEVERITY`` of the worst status among the cells; past its end without cells."""
    return min((SEVERITY.index(cell.status) for cell in cells), default=len(SEVERITY))
