"""Why lines of the LoRA path never run, and why branches are never taken: the entries of reasons.toml.

An entry names lines by their text, so a line that upstream changes loses its reason, and the page shows that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from harness.studies.coverage.measurement import MissedLine
from sdcpp.errors import FileInvalid

#: The reasons of this project.
PATH = Path(__file__).with_name("reasons.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the lines with these texts never run, in some files of some revisions.

    Files are paths in the source tree. ``functions`` are plain names; without them, the lines may be in any function.
    With ``branches`` the lines run, and the reason is why some of their branches are never taken.
    """

    revisions: Sequence[str]
    files: Sequence[str]
    lines: Sequence[str]
    reason: str
    functions: Sequence[str] = ()
    branches: bool = False

    def explains(self, revision: str, line: MissedLine) -> bool:
        """Return whether this is the reason why a line of a revision, or a branch of it, never runs."""
        return (
            revision in self.revisions
            and self.branches == bool(line.untaken)
            and line.file in self.files
            and (not self.functions or line.function in self.functions)
            and line.text in self.lines
        )


def load(path: Path = PATH) -> list[Reason]:
    """Return the reasons in a file; raises FileInvalid for an entry with unknown or missing keys."""
    with path.open("rb") as file:
        entries = tomllib.load(file).get("reason", [])
    known = {field.name for field in fields(Reason)}
    for number, entry in enumerate(entries, 1):
        if wrong := (known - {"functions", "branches"} - entry.keys()) | (entry.keys() - known):
            raise FileInvalid(
                f"entry {number} lacks or has a key that it should not: {', '.join(sorted(wrong))}",
                path,
                f"write the keys {', '.join(sorted(known))}; functions and branches may be left out",
            )
    return [Reason(**entry) for entry in entries]


def reason_for(reasons: Iterable[Reason], revision: str, line: MissedLine) -> str:
    """Return the reason of the first entry that explains a line, or "" if there is none."""
    return next((one.reason for one in reasons if one.explains(revision, line)), "")


def without_line(reasons: Iterable[Reason], revision: str, missed: Sequence[MissedLine]) -> list[str]:
    """Return the texts that the entries for a revision have, and that are no line of ``missed``.

    ``missed`` are the lines that never run and those with branches that are never taken.
    """
    return [
        text
        for one in reasons
        if revision in one.revisions
        for text in one.lines
        if not any(line.text == text and one.explains(revision, line) for line in missed)
    ]
