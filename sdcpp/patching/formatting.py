"""Format the lines that a commit adds with clang-format, as upstream asks for in its CONTRIBUTING.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sdcpp import process
from sdcpp.patching import patch_file
from sdcpp.patching.clone import Clone

#: The file with the style. Without it, nothing is formatted.
STYLE = ".clang-format"
#: The kinds of files that upstream formats.
_SUFFIXES = (".cpp", ".h", ".hpp")
_NEW_LINES = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def program() -> Path | None:
    """Return clang-format from PATH or from this Python environment, or None."""
    return process.which("clang-format", Path(sys.executable).parent)


def format_head(clone: Clone, clang_format: Path) -> bool:
    """Format the lines that the commit HEAD adds, amend the commit, and return whether this changed it."""
    if not (clone.path / STYLE).is_file():
        return False
    names = [name for name, lines in _added(clone).items() if _format(clone, clang_format, name, lines)]
    if not names or clone.git("diff", "--quiet", "--", *names).status == 0:
        return False
    clone.check_git("commit", "--quiet", "--amend", "--no-edit", "--", *names)
    return True


def _format(clone: Clone, clang_format: Path, name: str, lines: list[str]) -> bool:
    """Format lines of a file, and return whether clang-format accepted the file."""
    ranges = [f"--lines={part}" for part in lines]
    done = process.run([clang_format, "-i", "--style=file", *ranges, name], cwd=clone.path, quiet=True)
    return done.status == 0


def _added(clone: Clone) -> dict[str, list[str]]:
    """Return the lines that HEAD adds, as FIRST:LAST, for each file that upstream formats."""
    options = ("--unified=0", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")
    diff = clone.check_git("diff", *options, "HEAD^", "HEAD")
    added: dict[str, list[str]] = {}
    for hunk in patch_file.hunks(diff):
        place = _NEW_LINES.match(hunk.text)
        if hunk.new is None or place is None or not hunk.new.endswith(_SUFFIXES):
            continue
        first, count = int(place[1]), int(place[2] or 1)
        if count:
            added.setdefault(hunk.new, []).append(f"{first}:{first + count - 1}")
    return added
