"""Check out a source with the patches that apply to it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sdcpp.git import Repository
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import PatchState, State, conflict_error, find_states
from sdcpp.source.workspace import Tree

#: A part of the key of every patched commit. Raise it when patches are applied in another way.
_METHOD = 2


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
    patch_states = find_states(tree, patches)
    for entry in patch_states:
        if entry.is_error:
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
    mails = (hashlib.sha256(patch.mail).hexdigest() for patch in patches)
    identity = "\n".join([str(_METHOD), tree.base, *mails])
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
