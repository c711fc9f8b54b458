"""What all reports share: the order and signs of statuses, the meaning of verdicts and numbers, numbers as text."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.text import number

#: The statuses, the most urgent first.
SEVERITY = (Status.UNEXPECTED, Status.XPASS, Status.XFAIL, Status.PASS, Status.SKIPPED)

#: A sign for each status, so that no information depends on colour alone: in Unicode and, for other terminals, in
#: ASCII.
SIGNS = {
    Status.UNEXPECTED: ("✗", "x"),
    Status.XPASS: ("★", "*"),
    Status.XFAIL: ("◆", "~"),
    Status.PASS: ("✓", "+"),
    Status.SKIPPED: ("–", "-"),
}

#: The meaning of each status.
STATUSES = {
    Status.UNEXPECTED: "failed, and no failure was expected",
    Status.XPASS: "passed, but a failure was expected: remove the expectation",
    Status.XFAIL: "failed as expected",
    Status.PASS: "passed",
    Status.SKIPPED: "not judged",
}

#: The meaning of each verdict.
VERDICTS = {
    Verdict.PASS: "The picture is the wanted one, within the tolerance.",
    Verdict.NO_EFFECT: "The adapter was ignored: the picture is the one without it.",
    Verdict.WRONG: "The library made a picture, but not the wanted one.",
    Verdict.ABORT: "A signal or a failed assertion ended the process.",
    Verdict.TIMEOUT: "The library made no picture within the time limit.",
    Verdict.REFUSED: "The library refused to make the picture.",
    Verdict.UNSUPPORTED: "The device or the revision does not support this.",
    Verdict.SKIPPED: "The case was not run.",
    Verdict.MISDIRECTED: "The library ran on another backend than the requested one.",
    Verdict.UNJUDGED: "A picture to compare with could not be made, or the adapter changes it too little.",
    Verdict.UNSTABLE: "The same build gave different results when the case was repeated.",
}

#: The name and the meaning of each number of ``figures``.
NUMBERS = {
    "effect": (
        "Effect",
        "RMS difference between the pictures with and without the adapter: how much the adapter changes.",
    ),
    "error": (
        "Effect error",
        "‖got − wanted‖ / ‖wanted − without‖: 0 if the adapter is applied exactly, 1 if it is ignored.",
    ),
    "tolerance": ("Tolerance", "The largest effect error with which the case passes."),
    "loss": (
        "Loss",
        "Effect error against the float adapter that this one was quantised from: the cost of quantising, "
        "not a mistake of the library.",
    ),
    "seconds": ("Time", "Wall-clock time of the shot, loading included."),
    "memory": ("Peak memory", "Largest resident set of the worker process."),
}


def figures(cell: Cell) -> dict[str, str]:
    """Return the numbers of a cell as text with units, by the keys of ``NUMBERS``. Missing numbers are left out."""
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


def verdict_text(cell: Cell) -> str:
    """Return the verdict and, if it is informative, the effect error: ``PASS 0.012``."""
    error = headline_error(cell)
    return str(cell.verdict) if error is None else f"{cell.verdict} {number(error)}"


def headline_error(cell: Cell) -> float | None:
    """Return the effect error if it is informative, or None.

    The error of an ignored adapter is always 1. An error without a tolerance, as malformed files have it, does not
    decide the verdict.
    """
    informative = cell.verdict in {Verdict.PASS, Verdict.WRONG} and cell.tolerance is not None
    return cell.error if informative else None


def severity(cells: Iterable[Cell]) -> int:
    """Return the smallest index in ``SEVERITY`` of the cells' statuses, or ``len(SEVERITY)`` without cells."""
    return min((SEVERITY.index(cell.status) for cell in cells), default=len(SEVERITY))
