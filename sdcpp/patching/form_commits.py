"""Turn the forms of the series into commits of a clone, each on the source that it was made for.

git merges three states: the source before the patch, the source with it, and the target. A clone of upstream has the
commit of most revisions in its history. If it lacks one, or if the revision is a fork, the files that the patches
change are fetched from the workspace of the revision.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdcpp.errors import PatchConflict, SeriesInvalid
from sdcpp.git import IDENTITY, Repository
from sdcpp.patching.clone import Clone
from sdcpp.patching.patch_file import Patch
from sdcpp.source import revision
from sdcpp.source.revision import Revision
from sdcpp.source.workspace import workspace

#: The refs in a clone that keep the commits while a port is unfinished.
REFS = "refs/sdcpp/port"


@dataclass(slots=True, kw_only=True)
class FormCommits:
    """The forms of a series as commits of ``clone``. A commit is created when it is asked for.

    The ids of the commits depend on the content alone: another call creates the same ones.
    """

    clone: Clone
    patches: Sequence[Patch]
    known: Sequence[Revision] = field(default_factory=lambda: list(revision.load().values()))
    _commits: dict[Path, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return the names of the patches, in the order of the series."""
        return tuple(dict.fromkeys(patch.name for patch in self.patches))

    def forms(self, name: str, date: str) -> list[Patch]:
        """Return the forms of a patch for a target with this date: the one to try first comes first.

        This is the newest form that is not newer than the target. Older ones follow, and then the newer ones.
        """
        forms = [patch for patch in self.patches if patch.name == name]
        older = [form for form in forms if (self.revision(form).date or "") <= date]
        newer = [form for form in forms if form not in older]
        return sorted(older, key=self._position, reverse=True) + sorted(newer, key=self._position)

    def without_form(self, name: str, date: str, *, forks: bool) -> str | None:
        """Return the newest revision up to a date that the series names, if it is too new for every form of a patch.

        The series is complete on the revisions that it names. So a patch without a form for a revision of upstream is
        not needed there, and on a fork it is not needed, or the fork does not have its code. ``forks`` includes forks.
        """
        named = {item for patch in self.patches for item in patch.revisions}
        reached = [
            index
            for index, known in enumerate(self.known)
            if known.name in named and (forks or known.fork_of is None) and (known.date or "") <= date
        ]
        newest = max(self._position(patch) for patch in self.patches if patch.name == name)
        return self.known[reached[-1]].name if reached and newest < reached[-1] else None

    def revision(self, form: Patch) -> Revision:
        """Return the newest revision that a form is for. Raises SeriesInvalid if there is none."""
        return self.known[self._position(form)]

    def _position(self, form: Patch) -> int:
        positions = [index for index, known in enumerate(self.known) if _is_for(known, form)]
        if not positions:
            raise SeriesInvalid("the form is for no known revision", form.path, "correct its Revisions: line")
        return positions[-1]

    def commit(self, form: Patch) -> str:
        """Return the commit of a form; its parent has the patches that come before it in the series.

        Raises PatchConflict if a form does not apply to its own revision, and the errors of ``workspace``.
        """
        if form.path not in self._commits:
            self._create(self.revision(form))
        return self._commits[form.path]

    def _create(self, wanted: Revision) -> None:
        """Create the commits of all forms for a revision."""
        forms = [patch for patch in self.patches if _is_for(wanted, patch)]
        base = self.clone.resolve(wanted.commit) if wanted.commit and wanted.fork_of is None else None
        if base is None:
            base = self._fetch(wanted, {name for form in forms for name in form.files})
        with tempfile.TemporaryDirectory(prefix="port.", dir=self.clone.folder) as scratch:
            place = Path(scratch)
            env = {"GIT_INDEX_FILE": str(place / "index")}
            self.clone.check_git("read-tree", base, env=env)
            for form in forms:
                base = self._commit(form, base, place)
                self._commits[form.path] = base
        self.clone.check_git("update-ref", f"{REFS}/{wanted.name}", base)

    def _commit(self, form: Patch, parent: str, place: Path) -> str:
        """Apply a form to the index in the folder ``place``, and return a commit with its message and author."""
        env = {"GIT_INDEX_FILE": str(place / "index")}
        (place / "mail").write_bytes(form.mail)
        (place / "diff").write_bytes(form.diff)
        applied = self.clone.git("apply", "--cached", place / "diff", env=env)
        if applied.status:
            raise PatchConflict(
                f"patch does not apply to {self.revision(form).name}",
                form.path,
                f"correct the patch; `sdcpp patch state` shows more. git says: {applied.errors.strip()}",
            )
        # A partial clone need not have the files that the patches leave as they are.
        tree = self.clone.check_git("write-tree", "--missing-ok", env=env)
        info = self.clone.check_git(
            "mailinfo", "--encoding=UTF-8", place / "text", place / "rest", stdin=place / "mail"
        )
        head = dict(re.findall(r"^(Author|Email|Subject|Date): (.*)$", info, re.MULTILINE))
        text = (place / "text").read_text(encoding="utf-8", errors="surrogateescape").strip("\n")
        message = f"{head['Subject']}\n\n{text}".rstrip("\n")
        (place / "message").write_text(
            f"{message}\n", encoding="utf-8", errors="surrogateescape", newline="\n"
        )
        author = {
            "GIT_AUTHOR_NAME": head["Author"],
            "GIT_AUTHOR_EMAIL": head["Email"],
            "GIT_AUTHOR_DATE": head["Date"],
        }
        command = ("commit-tree", "--no-gpg-sign", "-p", parent, "-F", place / "message", tree)
        return self.clone.check_git(*command, env={**IDENTITY, **author})

    def _fetch(self, wanted: Revision, names: set[str]) -> str:
        """Fetch the files ``names`` of a revision from its workspace, and return the commit that has them."""
        tree = workspace(wanted)
        with tempfile.TemporaryDirectory(prefix="port.", dir=tree.repository.folder) as scratch:
            repository = Repository(path=tree.path, index=Path(scratch) / "index")
            repository.check_git("read-tree", tree.base)
            repository.update_index(repository.names() - names, "--force-remove")
            base = repository.commit_index()
        tree.repository.check_git("update-ref", REFS, base)
        ref = f"{REFS}/{wanted.name}"
        self.clone.check_git("fetch", "--quiet", "--no-tags", tree.repository.folder, f"+{REFS}:{ref}")
        return base


def _is_for(known: Revision, form: Patch) -> bool:
    """Return whether a form names a revision or its generation, or is for all revisions."""
    named = {known.name, f"generation {known.lora_api}"}
    return not form.revisions or bool(named & set(form.revisions))


def release(clone: Clone) -> None:
    """Remove the refs that keep the commits of ``FormCommits``."""
    for ref in clone.check_git("for-each-ref", "--format=%(refname)", f"{REFS}/").split():
        clone.check_git("update-ref", "-d", ref)
