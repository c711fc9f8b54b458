"""The patch series: its order, what each patch does on a revision, and the patched tree."""

from __future__ import annotations

import enum
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sdcpp import process, project
from sdcpp.errors import PatchConflict, SeriesInvalid
from sdcpp.git import Repository
from sdcpp.patching.patch_file import Patch, hunks, read
from sdcpp.patching.rules import violations
from sdcpp.source import revision
from sdcpp.source.workspace import Tree

__all__ = ["Patch", "PatchState", "Prepared", "State", "entries", "lint", "load", "prepare", "read", "states"]

#: Part of the name of a patched commit; another number after a change in how one is made.
_METHOD = 1


class State(enum.Enum):
    """What a patch does on a revision."""

    APPLIES = "applies"
    UPSTREAM = "already upstream"
    NOT_NEEDED = "not needed"
    CONFLICTS = "conflicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchState:
    """A patch and its state; ``detail`` shows the hunk that conflicts, or says why it is not needed."""

    patch: Patch
    state: State
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A workspace that shows ``commit``: its base and those patches that apply."""

    tree: Tree
    commit: str
    states: tuple[PatchState, ...]

    @property
    def path(self) -> Path:
        """The folder to build."""
        return self.tree.path


def entries(folder: Path = project.PATCHES) -> tuple[str, ...]:
    """Return the file names of ``series`` in order; SeriesInvalid if it cannot be read."""
    path = folder / "series"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SeriesInvalid(
            "series cannot be read", path, f"write one file name on each line of it: {error}"
        ) from error
    return tuple(name for line in lines if (name := line.partition("#")[0].strip()))


def load(folder: Path = project.PATCHES) -> tuple[Patch, ...]:
    """Return the patches in the order of ``series``; SeriesInvalid if a file is missing or no patch."""
    return tuple(read(folder / name) for name in entries(folder))


def lint(folder: Path = project.PATCHES, revisions: Path = project.REVISIONS) -> list[str]:
    """Return everything that is wrong with a folder of patches, each as ``file: complaint``."""
    try:
        listed = entries(folder)
    except SeriesInvalid as error:
        return [f"series: {error.remedy}"]
    there = {path.name for path in folder.iterdir()} - {"series", ".gitattributes"}
    found = [
        f"{name}: listed more than once in series" for name in dict.fromkeys(listed) if listed.count(name) > 1
    ]
    found += [f"{name}: in series, but there is no such file" for name in listed if name not in there]
    found += [f"{name}: not in series" for name in sorted(there - set(listed))]
    known = revision.load(revisions)
    for name in sorted(there):
        try:
            found += [f"{name}: {complaint}" for complaint in violations(read(folder / name), known)]
        except SeriesInvalid as error:
            found.append(f"{name}: {error.what}")
    return found


def states(tree: Tree, patches: Iterable[Patch]) -> tuple[PatchState, ...]:
    """Return the state of each patch, on top of those before it that apply.

    Works in an index of its own: the workspace's files are neither read nor changed, and no lock is needed.
    """
    with tempfile.TemporaryDirectory(prefix="states.", dir=tree.repository.folder) as scratch:
        inner = Repository(path=tree.path, index=Path(scratch) / "index")
        inner.check_git("read-tree", tree.base)
        return tuple(_state(tree, inner, patch, Path(scratch) / "diff") for patch in patches)


def patches_to_apply(states: Iterable[PatchState]) -> tuple[Patch, ...]:
    """Return the patches to build with: those that apply, and those that conflict, so that the build says where."""
    return tuple(s.patch for s in states if s.state in (State.APPLIES, State.CONFLICTS))


def prepare(tree: Tree, patches: Sequence[Patch] = ()) -> Prepared:
    """Check the workspace out at its base with the patches that apply, and return what came of each.

    Files that do not differ keep their times, so a build redoes only what the patches touch. The patched
    commit is made once, by ``git am`` in a room of its own, and found again later; it has the same id
    everywhere. A workspace that a killed process left in disorder is put right first, and files that
    belong to no commit are removed.

    The caller holds ``cache.lock(tree.path)`` from before this call until it is done with the files.

    Raises PatchConflict, with the hunk, when a patch does not apply to a revision that it is for; the
    workspace then shows the state that it had, whole.
    """
    for name in ("index.lock", "HEAD.lock"):  # of a killed process, since the caller has the lock
        (tree.repository.folder / name).unlink(missing_ok=True)
    found = states(tree, patches)
    for entry in found:
        if entry.state is State.CONFLICTS:
            _show(tree, "HEAD")
            raise conflict(tree, entry.patch, entry.detail)
    applied = [entry.patch for entry in found if entry.state is State.APPLIES]
    commit = _patched(tree, applied) if applied else tree.base
    _show(tree, commit)
    return Prepared(tree=tree, commit=commit, states=found)


def _show(tree: Tree, commit: str) -> None:
    """Make the workspace's files those of ``commit``, writing only what differs."""
    inner = tree.repository
    # Compares the content where the times look odd, as after a restored backup: such files stay untouched.
    inner.git("update-index", "-q", "--really-refresh")
    inner.check_git("checkout", "--quiet", "--force", "--detach", commit)
    inner.check_git("clean", "-ffdxq")


def _patched(tree: Tree, patches: Sequence[Patch]) -> str:
    """Return the commit that has the patches on the base, made by git am if it is not there yet."""
    identity = "\n".join([str(_METHOD), tree.base, *(patch.sha256 for patch in patches)])
    name = f"refs/series/{hashlib.sha256(identity.encode()).hexdigest()[:40]}"
    known = tree.repository.resolve(name)
    if known is not None:
        return known
    with _room(tree, {name for patch in patches for name in patch.files}) as room:
        for patch in patches:
            mail = room.path / ".git-mail"
            mail.write_bytes(patch.mail)
            done = room.git(
                "am",
                "--quiet",
                "--keep-cr",  # some of upstream's files have CRLF
                "--no-3way",
                "--whitespace=nowarn",  # as the author wrote it; our own patches are linted instead
                "--no-gpg-sign",
                "--committer-date-is-author-date",
                mail,
            )
            if done.status:
                room.git("am", "--abort")
                raise conflict(tree, patch, f"git am says: {(done.errors or done.output).strip()}")
        commit = room.check_git("rev-parse", "HEAD")
    tree.repository.check_git("update-ref", name, commit)
    return commit


@contextmanager
def _room(tree: Tree, names: set[str]) -> Iterator[Repository]:
    """Yield a linked worktree at the base that holds only the files ``names``, for git am to work in.

    The workspace stays out of it: killed in the middle, git am leaves nothing but this folder, and a file
    that two patched states have in common keeps its time when one follows the other.
    """
    path = tree.path.with_name(f".{tree.path.name}.am")
    shutil.rmtree(path, ignore_errors=True)
    tree.repository.check_git("worktree", "prune")
    tree.repository.check_git("worktree", "add", "--quiet", "--no-checkout", "--detach", path, tree.base)
    try:
        room = Repository(path=path)
        room.check_git("read-tree", tree.base)
        there = room.names()
        room.update_index(there - names, "--skip-worktree")
        if there & names:
            room.check_git("checkout-index", "--", *sorted(there & names))
        yield room
    finally:
        shutil.rmtree(path, ignore_errors=True)
        tree.repository.git("worktree", "prune")


def _state(tree: Tree, inner: Repository, patch: Patch, diff: Path) -> PatchState:
    reason = _not_for(tree, patch)
    if reason:
        return PatchState(patch=patch, state=State.NOT_NEEDED, detail=reason)
    diff.write_bytes(patch.diff)
    apply = ("apply", "--cached", "--verbose", "--whitespace=nowarn")
    forward, reverse = (inner.git(*apply, "--check", *more, diff) for more in ((), ("--reverse",)))
    # Where context is short both may fit somewhere; the one that fits nearer to its place is meant.
    there = reverse.status == 0 and (forward.status != 0 or _offset(reverse) < _offset(forward))
    if there:
        return PatchState(patch=patch, state=State.UPSTREAM, detail="its change is in the source already")
    if forward.status:
        return PatchState(patch=patch, state=State.CONFLICTS, detail=_explain(patch, forward.errors))
    inner.check_git(*apply, diff)
    return PatchState(patch=patch, state=State.APPLIES, detail="")


def _not_for(tree: Tree, patch: Patch) -> str:
    """Return why a patch is not for a revision, or nothing if it is."""
    names = {tree.revision.name, f"generation {tree.lora_api}"}
    if not patch.revisions or names & set(patch.revisions):
        return ""
    return f"it is for {', '.join(patch.revisions)}; this is {tree.revision.name}, generation {tree.lora_api}"


def _offset(done: process.Completed) -> int:
    """Return by how many lines git moved the hunks in all."""
    return sum(int(lines) for lines in re.findall(r"\(offset -?(\d+) lines?\)", done.errors))


def _explain(patch: Patch, errors: str) -> str:
    """Return which hunk does not apply, its text, and git's own words."""
    failed = set(re.findall(r"^error: patch failed: (.+):(\d+)$", errors, re.MULTILINE))
    absent = set(re.findall(r"^error: (.+): does not exist in index$", errors, re.MULTILINE))
    shown = []
    for hunk in hunks(patch.diff.decode("utf-8", "replace")):
        if hunk.file in absent or (hunk.file, str(hunk.line)) in failed:
            why = "the file is not there" if hunk.file in absent else "this hunk does not fit"
            shown.append(f"{hunk.file}, line {hunk.line}: {why}\n{hunk.text}")
    return "\n".join(shown) or "\n".join(re.findall(r"^error: .*", errors, re.MULTILINE)) or errors.strip()


def conflict(tree: Tree, patch: Patch, detail: str) -> PatchConflict:
    """Return the error that says why a patch does not apply to a revision that it is for."""
    shown = "\n    ".join(detail.split("\n"))
    return PatchConflict(
        "patch does not apply",
        f"{os.fspath(patch.path)} on {tree.revision.name}",
        f"make it again on this revision, or list the revisions that it is for in its line Revisions:\n    {shown}",
    )
