"""Apply the patch series to a revision: the order of the patches, the state of each, and the patched workspace."""

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

__all__ = [
    "Patch",
    "PatchState",
    "Prepared",
    "State",
    "file_names",
    "lint",
    "load",
    "prepare",
    "read",
    "states",
]

#: A part of the key of every patched commit. Raise it when patches are applied in another way.
_METHOD = 1


class State(enum.Enum):
    """The state of a patch on a revision."""

    APPLIES = "applies"
    UPSTREAM = "already upstream"
    NOT_NEEDED = "not needed"
    CONFLICTS = "conflicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchState:
    """A patch and its state. ``detail`` has the hunks that conflict, or the reason why the patch is not needed."""

    patch: Patch
    state: State
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A workspace whose files are those of ``commit``: its base with the patches that apply."""

    tree: Tree
    commit: str
    states: tuple[PatchState, ...]

    @property
    def path(self) -> Path:
        """The folder with the files."""
        return self.tree.path


def file_names(folder: Path = project.PATCHES) -> tuple[str, ...]:
    """Return the file names that the file ``series`` lists, in order; raises SeriesInvalid if it cannot be read."""
    path = folder / "series"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SeriesInvalid(
            f"series cannot be read ({error})",
            path,
            "create it, with the name of one patch file on each line",
        ) from error
    return tuple(name for line in lines if (name := line.partition("#")[0].strip()))


def load(folder: Path = project.PATCHES) -> tuple[Patch, ...]:
    """Return the patches in the order of ``series``; raises SeriesInvalid for a file that is missing or is no patch."""
    return tuple(read(folder / name) for name in file_names(folder))


def lint(folder: Path = project.PATCHES, revisions: Path = project.REVISIONS) -> list[str]:
    """Return all complaints about a folder of patches, each as ``file: complaint``."""
    try:
        listed = file_names(folder)
    except SeriesInvalid as error:
        return [f"series: {error.what}; {error.remedy}"]
    present = {path.name for path in folder.iterdir()} - {"series", ".gitattributes"}
    complaints = [
        f"{name}: listed more than once in series" for name in dict.fromkeys(listed) if listed.count(name) > 1
    ]
    complaints += [f"{name}: in series, but there is no such file" for name in listed if name not in present]
    complaints += [f"{name}: not in series" for name in sorted(present - set(listed))]
    known = revision.load(revisions)
    for name in sorted(present):
        try:
            complaints += [f"{name}: {complaint}" for complaint in violations(read(folder / name), known)]
        except SeriesInvalid as error:
            complaints.append(f"{name}: {error.what}")
    return complaints


def states(tree: Tree, patches: Iterable[Patch]) -> tuple[PatchState, ...]:
    """Return the state of each patch after the earlier patches that apply.

    This uses a temporary index. It neither reads nor changes the files of the workspace, so it needs no lock.
    """
    with tempfile.TemporaryDirectory(prefix="states.", dir=tree.repository.folder) as scratch:
        repository = Repository(path=tree.path, index=Path(scratch) / "index")
        repository.check_git("read-tree", tree.base)
        return tuple(_state(tree, repository, patch, Path(scratch) / "diff") for patch in patches)


def patches_to_apply(states: Iterable[PatchState]) -> tuple[Patch, ...]:
    """Return the patches that apply or conflict. If a patch conflicts, a build with it fails and shows the hunk."""
    return tuple(s.patch for s in states if s.state in (State.APPLIES, State.CONFLICTS))


def prepare(tree: Tree, patches: Sequence[Patch] = ()) -> Prepared:
    """Check out the base of a workspace with the patches that apply, and return the state of each patch.

    Only files that differ are written, so that a build compiles again only what the patches change. ``git am`` creates
    the patched commit in another folder, and later calls use the same commit. Its id is the same on every machine.
    Damage by a process that was killed is repaired first, and files that belong to no commit are removed.

    The caller must hold ``cache.lock(tree.path)`` during this call and as long as it uses the files.

    Raises PatchConflict, with the hunk, if a patch does not apply to a revision that it is for. The workspace then has
    the files of the commit that was checked out before.
    """
    for name in ("index.lock", "HEAD.lock"):  # left by a killed process, because the caller holds the lock
        (tree.repository.folder / name).unlink(missing_ok=True)
    patch_states = states(tree, patches)
    for entry in patch_states:
        if entry.state is State.CONFLICTS:
            _check_out(tree, "HEAD")
            raise conflict_error(tree, entry.patch, entry.detail)
    applied = [entry.patch for entry in patch_states if entry.state is State.APPLIES]
    commit = _patched_commit(tree, applied) if applied else tree.base
    _check_out(tree, commit)
    return Prepared(tree=tree, commit=commit, states=patch_states)


def _check_out(tree: Tree, commit: str) -> None:
    """Change the files of the workspace to those of ``commit``, writing only files that differ."""
    repository = tree.repository
    # Compare the content of files with unexpected times, as in a restored backup. Equal files are then not written.
    repository.git("update-index", "-q", "--really-refresh")
    repository.check_git("checkout", "--quiet", "--force", "--detach", commit)
    repository.check_git("clean", "-ffdxq")


def _patched_commit(tree: Tree, patches: Sequence[Patch]) -> str:
    """Return the commit that has the patches on top of the base. If it does not exist, git am creates it."""
    identity = "\n".join([str(_METHOD), tree.base, *(patch.sha256 for patch in patches)])
    name = f"refs/series/{hashlib.sha256(identity.encode()).hexdigest()[:40]}"
    known = tree.repository.resolve(name)
    if known is not None:
        return known
    with _am_worktree(tree, {name for patch in patches for name in patch.files}) as worktree:
        for patch in patches:
            mail = worktree.path / ".git-mail"
            mail.write_bytes(patch.mail)
            done = worktree.git(
                "am",
                "--quiet",
                "--keep-cr",  # some of upstream's files have Windows line endings
                "--no-3way",
                "--whitespace=nowarn",  # no warnings: `sdcpp patch lint` checks white space
                "--no-gpg-sign",
                "--committer-date-is-author-date",
                mail,
            )
            if done.status:
                worktree.git("am", "--abort")
                raise conflict_error(tree, patch, f"git am says: {(done.errors or done.output).strip()}")
        commit = worktree.check_git("rev-parse", "HEAD")
    tree.repository.check_git("update-ref", name, commit)
    return commit


@contextmanager
def _am_worktree(tree: Tree, names: set[str]) -> Iterator[Repository]:
    """Yield a linked worktree of the base for git am that has only the files ``names``, and remove it.

    git am does not run in the workspace for two reasons. If it is killed, only this folder is left. And a file that is
    the same in two patched states keeps its time when the workspace changes from one state to the other.
    """
    path = tree.path.with_name(f".{tree.path.name}.am")
    shutil.rmtree(path, ignore_errors=True)
    tree.repository.check_git("worktree", "prune")
    tree.repository.check_git("worktree", "add", "--quiet", "--no-checkout", "--detach", path, tree.base)
    try:
        worktree = Repository(path=path)
        worktree.check_git("read-tree", tree.base)
        present = worktree.names()
        worktree.update_index(present - names, "--skip-worktree")
        if present & names:
            worktree.check_git("checkout-index", "--", *sorted(present & names))
        yield worktree
    finally:
        shutil.rmtree(path, ignore_errors=True)
        tree.repository.git("worktree", "prune")


def _state(tree: Tree, repository: Repository, patch: Patch, diff: Path) -> PatchState:
    """Return the state of a patch on the index of ``repository``; if the patch applies, apply it to the index.

    ``diff`` is the path of a temporary file.
    """
    reason = _why_not_needed(tree, patch)
    if reason:
        return PatchState(patch=patch, state=State.NOT_NEEDED, detail=reason)
    diff.write_bytes(patch.diff)
    apply = ("apply", "--cached", "--verbose", "--whitespace=nowarn")
    forward, reverse = (repository.git(*apply, "--check", *more, diff) for more in ((), ("--reverse",)))
    # With little context, both directions may apply somewhere. The one that applies nearer to the hunk's lines counts.
    is_upstream = reverse.status == 0 and (forward.status != 0 or _offset(reverse) < _offset(forward))
    if is_upstream:
        return PatchState(patch=patch, state=State.UPSTREAM, detail="the source already has its change")
    if forward.status:
        return PatchState(patch=patch, state=State.CONFLICTS, detail=_failed_hunks(patch, forward.errors))
    repository.check_git(*apply, diff)
    return PatchState(patch=patch, state=State.APPLIES, detail="")


def _why_not_needed(tree: Tree, patch: Patch) -> str:
    """Return the reason why a patch is not for a revision, or "" if it is for it."""
    names = {tree.revision.name, f"generation {tree.lora_api}"}
    if not patch.revisions or names & set(patch.revisions):
        return ""
    return f"it is for {', '.join(patch.revisions)}; this is {tree.revision.name}, generation {tree.lora_api}"


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
        f"update it for this revision, or list the revisions that it is for in its Revisions: line\n    {indented}",
    )
