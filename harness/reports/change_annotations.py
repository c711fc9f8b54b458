"""Annotations of a pull request: workflow commands that show regressed cases beside changed lines of the source.

A crash that names a line of a changed file is shown there. All others are shown on the first changed line of each
changed source file, because no case says which line broke it: a log line of a picture that was made names no failure.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from harness.records.change import ChangeKind
from harness.records.record import Cell
from harness.reports.before_after import Change
from harness.reports.table import case_id
from harness.reports.vocabulary import headline_error
from harness.text import listed, number, one_line, plural
from sdcpp.patching.patch_file import hunks

#: GitHub shows at most this number of errors of one step.
LIMIT = 10
#: The largest number of cases that an annotation names.
CASES = 5
_SOURCES = frozenset({".c", ".cc", ".comp", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".m", ".metal"})
_PLACE = re.compile(r"([\w./+-]+\.(?:cpp|cuh|cu|cc|hpp|c|h|m)):(\d{1,7})\b")
_ADDED = re.compile(r"@@ -\S+ \+(\d+)")


def render(changes: Iterable[Change], changed: Mapping[str, int]) -> list[str]:
    """Return an ``::error`` command for each place of a regressed case, ``LIMIT`` at most.

    ``changed`` maps each changed file to its first changed line, as ``first_lines`` returns them.
    """
    places: dict[tuple[str, int], list[Change]] = {}
    for change in changes:
        if change.kind is ChangeKind.REGRESSED:
            for place in _places(change, changed):
                places.setdefault(place, []).append(change)
    return [_command(file, line, found) for (file, line), found in list(places.items())[:LIMIT]]


def first_lines(diff: str) -> dict[str, int]:
    """Return each file that a diff without context changes, with the number of its first changed line.

    For a hunk that only removes lines this is the line before them, or 1. Removed files are left out.
    """
    found: dict[str, int] = {}
    for hunk in hunks(diff):
        if hunk.new and (match := _ADDED.match(hunk.text)):
            found.setdefault(hunk.new, max(1, int(match[1])))
    return found


def _places(change: Change, changed: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the line that the failure names, if a changed file has it, else a line of each changed source file."""
    made = change.after is None or change.after.error is not None
    evidence = change.after.evidence if change.after and not made else ""
    for name, line in _PLACE.findall(evidence):
        for file in changed:
            if PurePosixPath(file).name == PurePosixPath(name).name:
                return [(file, int(line))]
    sources = [(file, line) for file, line in changed.items() if PurePosixPath(file).suffix in _SOURCES]
    return sources or list(changed.items())


def _command(file: str, line: int, changes: Sequence[Change]) -> str:
    names = [
        f"{_name(change.after)} ({change.before.verdict} before, {change.after.verdict} after)"
        for change in changes
        if change.before and change.after
    ]
    reason = next(filter(None, (_reason(change.after) for change in changes if change.after)), "")
    message = f"{listed(names, CASES)}{f': {reason}' if reason else ''}"
    title = f"{plural(len(changes), 'LoRA case')} regressed"
    return f"::error file={_value(file)},line={line},title={_value(title)}::{_text(message)}"


def _name(cell: Cell) -> str:
    """Return the id of a case with its base model."""
    return " ".join(filter(None, [case_id(cell), cell.dimensions.get("base", "")]))


def _reason(cell: Cell) -> str:
    """Return the effect error of a wrong picture, else the first line of the evidence."""
    if (error := headline_error(cell)) is not None and cell.tolerance is not None:
        return f"effect error {number(error)}, allowed {number(cell.tolerance)}"
    return one_line(cell.evidence.partition("\n")[0], 200)


def _text(text: str) -> str:
    """Return a message with the characters escaped that end a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    """Return a property with the characters escaped that end a property."""
    return _text(text).replace(":", "%3A").replace(",", "%2C")
