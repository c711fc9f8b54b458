"""Creates patches for the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from sdcpp.patching import patch_file
from sdcpp.patching.patch_file import Patch
from tests.unit import git_repositories

Edit = Callable[[str], str]


class Author:
    """Creates patches in a temporary repository, each on top of the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        git_repositories.repository(path)
        self.made: list[Path] = []

    def patch(
        self, name: str, edits: dict[str, Edit | None], trailers: str = "Revisions: all", context: int = 3
    ) -> Patch:
        """Edit files and return the change as a patch of git format-patch. The edit None removes a file."""
        for file, edit in edits.items():
            place = self.path / file
            if edit is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            old = place.read_bytes().decode() if place.exists() else ""
            place.write_bytes(edit(old).encode())
        git_repositories.git(self.path, "add", "--all", "--force")
        git_repositories.git(
            self.path, "commit", "--quiet", f"--message=fix: {name}\n\nWhy so.\n\n{trailers}"
        )
        made = self.path.parent / f"{name}.patch"
        options = ["-1", "--stdout", f"-U{context}", "--zero-commit"]
        done = subprocess.run(
            ["git", "format-patch", *options],  # noqa: S607
            cwd=self.path,
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            capture_output=True,
            check=True,
        )
        made.write_bytes(done.stdout)
        return patch_file.read(made)


def line(number: int, new: str) -> Edit:
    return lambda old: old.replace(f"line {number}\n", new)
