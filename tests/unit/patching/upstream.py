"""A stand-in for somebody's clone of upstream, and patches for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sdcpp.patching import patch_file
from sdcpp.patching.clone import Clone, open_clone
from sdcpp.patching.form_commits import FormCommits
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.worktree import file_content
from sdcpp.source.revision import Folder, Revision
from tests.unit import git_repositories
from tests.unit.git_repositories import git
from tests.unit.patching.author import Author, Edit

#: The notes of every form, which no commit may have.
NOTES = "Revisions: {revision}\nUpstream-Status: Pending\n\nMeasured with sdcpp."


class Upstream:
    """A clone of upstream. Its first commit is the revision ``old``; ``commit`` adds newer ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = git_repositories.repository(path)
        for name, value in (
            ("user.name", "the user"),
            ("user.email", "user@example.org"),
            ("commit.gpgSign", "false"),
        ):
            git(path, "config", name, value)

    @property
    def clone(self) -> Clone:
        return open_clone(self.path)

    def commit(self, edits: dict[str, Edit | None] | None = None, moves: dict[str, str] | None = None) -> str:
        """Move and edit files, commit that, and return the commit. The edit None removes a file."""
        for old, new in (moves or {}).items():
            (self.path / new).parent.mkdir(parents=True, exist_ok=True)
            git(self.path, "mv", old, new)
        for name, edit in (edits or {}).items():
            place = self.path / name
            if edit is None:
                place.unlink()
            else:
                place.write_bytes(edit(place.read_bytes().decode()).encode())
        git(self.path, "commit", "--quiet", "--all", "--message=newer")
        return git(self.path, "rev-parse", "HEAD")

    def known(self, *names: str) -> list[Revision]:
        """Return the revision ``old`` and others, one a year, all with the first commit."""
        revision = git_repositories.revision(Folder(path=self.path), lora_api="C")
        return [
            dataclasses.replace(revision, name=name, commit=self.first, date=f"{2001 + index}-01-01")
            for index, name in enumerate(("old", *names))
        ]

    def series(self, patches: Sequence[Patch], *names: str) -> FormCommits:
        return FormCommits(clone=self.clone, patches=patches, known=self.known(*names))


def form(author: Author, name: str, edits: dict[str, Edit | None], revision: str = "old") -> Patch:
    """Return a form of a patch for a revision, with the author's files as they are now."""
    made = author.patch(f"{name}-{revision}", edits, trailers="")
    content = file_content(made.mail.decode(), NOTES.format(revision=revision))
    return patch_file.parse(content.encode(), made.path.with_name(name) / f"{revision}.patch", name)


def replacing(old: str, new: str) -> Edit:
    return lambda text: text.replace(f"{old}\n", f"{new}\n")
