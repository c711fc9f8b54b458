"""Try patches on a source: which apply, which it already has, and which conflict."""

from __future__ import annotations

import enum
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdcpp import process
from sdcpp.errors import PatchConflict
from sdcpp.git import Repository
from sdcpp.patching.patch_file import Patch, hunks
from sdcpp.source.revision import Revision
from sdcpp.source.workspace import Tree


class State(enum.Enum):
    """The state of a patch on a source."""

    APPLIES = "applies"
    UPSTREAM = "already upstream"
    NOT_NEEDED = "no longer needed"
    CONFLICTS = "conflicts"
    CODE_GONE = "code is gone"
    OTHER = "for other revisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchState:
    """A patch, in the form that was tried last, and its state.

    ``detail`` has the hunks that do not apply, or another reason. ``required`` says that the patch is for this source,
    so that a conflict is an error.
    """

    patch: Patch
    state: State
    detail: str
    required: bool = True

    @property
    def is_error(self) -> bool:
        """Whether the patch should apply and conflicts."""
        return self.state is State.CONFLICTS and self.required


def is_written_for(patches: Iterable[Patch], revision: Revision) -> bool:
    """Return whether a patch of a series names the revision, so that the series was written for it."""
    return any(revision.name in patch.revisions for patch in patches)


def find_states(tree: Tree, patches: Iterable[Patch]) -> tuple[PatchState, ...]:
    """Return the state of each patch after the earlier patches that apply.

    Of several forms of a patch, that for the revision is tried. If no form of any patch names the revision, the series
    was not written for this source: then each form is tried, the newest first, until one applies.

    This uses a temporary index. It neither reads nor changes the files of the workspace, so it needs no lock.
    """
    by_name: dict[str, list[Patch]] = {}
    for patch in patches:
        by_name.setdefault(patch.name, []).append(patch)
    known = is_written_for(patches, tree.revision)
    with tempfile.TemporaryDirectory(prefix="states.", dir=tree.repository.folder) as scratch:
        repository = Repository(path=tree.path, index=Path(scratch) / "index")
        repository.check_git("read-tree", tree.base)
        trial = _Trial(tree=tree, repository=repository, diff=Path(scratch) / "diff", known=known)
        return tuple(trial.state(forms) for forms in by_name.values())


def patches_to_apply(states: Iterable[PatchState]) -> tuple[Patch, ...]:
    """Return the patches that apply, and those that should but conflict.

    If a patch conflicts, a build with it fails and shows the hunk.
    """
    return tuple(s.patch for s in states if s.state is State.APPLIES or s.is_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Tries patches on the index of ``repository``, which has the files of ``tree`` and the patches that applied.

    ``diff`` is the path of a temporary file. ``known`` says that the series names the revision of ``tree``.
    """

    tree: Tree
    repository: Repository
    diff: Path
    known: bool

    def state(self, forms: Sequence[Patch]) -> PatchState:
        """Return the state of a patch. If a form of it applies, apply it to the index."""
        for form in forms:
            if _is_for(self.tree, form):
                return self._try(form, required=True)
        if self.known:
            named = ", ".join(item for form in forms for item in form.revisions)
            why = f"it is for {named}; this is {self.tree.revision.name}, generation {self.tree.lora_api}"
            return PatchState(patch=forms[-1], state=State.OTHER, detail=why, required=False)
        tried = []
        for form in sorted(forms, key=lambda form: form.path.name, reverse=True):
            tried.append(self._try(form, required=False))
            if tried[-1].state is State.APPLIES:
                return tried[-1]
        return next((state for state in tried if state.state is State.UPSTREAM), self._without_code(tried))

    def _without_code(self, tried: Sequence[PatchState]) -> PatchState:
        """Return the conflict of the newest form, or CODE_GONE if the source has no line that a form changes."""
        lines = {line for entry in tried for line in old_lines(entry.patch)}
        self.diff.write_bytes(b"\n".join(sorted(lines)))
        fixed = ("grep", "--quiet", "--fixed-strings", "-f", self.diff, self.tree.base)
        found = self.repository.git(*fixed, "--", "*.[ch]pp", "*.[ch]")
        if lines and found.status == 1:
            why = "the source has none of the lines that it changes"
            return replace(tried[0], state=State.CODE_GONE, detail=why)
        return tried[0]

    def _try(self, patch: Patch, *, required: bool) -> PatchState:
        """Return the state of one form. If it applies, apply it to the index."""
        self.diff.write_bytes(patch.diff)
        apply = ("apply", "--cached", "--verbose", "--whitespace=nowarn")
        forward, reverse = (
            self.repository.git(*apply, "--check", *more, self.diff) for more in ((), ("--reverse",))
        )
        # With little context, both directions may apply somewhere. The one that applies nearer to the hunk's lines
        # counts.
        is_upstream = reverse.status == 0 and (forward.status != 0 or _offset(reverse) < _offset(forward))
        state, detail = State.APPLIES, ""
        if is_upstream:
            state, detail = State.UPSTREAM, "the source already has its change"
        elif forward.status:
            state, detail = State.CONFLICTS, _failed_hunks(patch, forward.errors)
        else:
            self.repository.check_git(*apply, self.diff)
        return PatchState(patch=patch, state=state, detail=detail, required=required)


def _is_for(tree: Tree, patch: Patch) -> bool:
    """Return whether a patch names the revision or its generation, or is for all revisions."""
    named = {tree.revision.name, f"generation {tree.lora_api}"}
    return not patch.revisions or bool(named & set(patch.revisions))


def old_lines(patch: Patch, *, context: bool = False) -> Iterator[bytes]:
    """Yield the lines that a patch removes, or the context of hunks that only add; braces alone do not count.

    ``context`` yields the context of all hunks.
    """
    for hunk in hunks(patch.diff.decode("utf-8", "surrogateescape")):
        lines = hunk.text.split("\n")[1:]
        removed = [line[1:] for line in lines if line.startswith("-") and not context]
        for line in removed or [line[1:] for line in lines if line.startswith((" ", "-"))]:
            if re.search(r"\w", line):
                yield line.strip().encode("utf-8", "surrogateescape")


def _offset(done: process.Completed) -> int:
    """Return the sum of the lines by which git moved the hunks."""
    return sum(int(lines) for lines in re.findall(r"\(offset -?(\d+) lines?\)", done.errors))


def _failed_hunks(patch: Patch, errors: str) -> str:
    """Return the hunks that do not apply, given the errors of git apply; if there is none, return the errors."""
    failed = set(re.findall(r"^error: patch failed: (.+):(\d+)$", errors, re.MULTILINE))
    absent = set(re.findall(r"^error: (.+): does not exist in index$", errors, re.MULTILINE))
    shown = []
    for hunk in hunks(patch.diff.decode("utf-8", "replace")):
        if hunk.file in absent or (hunk.file, str(hunk.line)) in failed:
            why = "the file does not exist" if hunk.file in absent else "this hunk does not apply"
            shown.append(f"{hunk.file}, line {hunk.line}: {why}\n{hunk.text}")
    return "\n".join(shown) or "\n".join(re.findall(r"^error: .*", errors, re.MULTILINE)) or errors.strip()


def conflict_error(tree: Tree, patch: Patch, detail: str) -> PatchConflict:
    """Return the error for a patch that does not apply to a revision that it is for."""
    indented = "\n    ".join(detail.split("\n"))
    return PatchConflict(
        "patch does not apply",
        f"{os.fspath(patch.path)} on {tree.revision.name}",
        f"update it for this revision, or name the revisions that it is for in its Revisions: line\n    {indented}",
    )
