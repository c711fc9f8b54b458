"""Compare a contributor's checkout of upstream with its base, the commit that it started from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sdcpp import cache, git, process
from sdcpp.errors import NothingTried, PatchConflict, SourceInvalid
from sdcpp.git import Repository
from sdcpp.source import revision, workspace
from sdcpp.source.workspace import Tree

#: A remote with this text in its URL is upstream's own repository, whatever its name is.
UPSTREAM = "leejet/stable-diffusion.cpp"
#: The file mode of a submodule in git's lists.
_SUBMODULE = "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit of a checkout: its id and the first line of its message."""

    id: str
    subject: str

    def __str__(self) -> str:
        return f"{self.id[:10]} {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Two states of a checkout in one workspace: ``before`` is its base, ``after`` is its current state.

    - ``upstream`` is the name of the branch or commit whose merge base with the checkout is the base.
    - ``commits`` are the commits since the base, the newest first.
    - ``uncommitted`` are the names of files that differ from the newest commit, and of new files that git does not
      ignore.
    - ``files`` has the name of each file that differs from the base, and the numbers of lines that were added and
      removed; the numbers are None for a binary file.
    """

    before: Tree
    after: Tree
    upstream: str
    base: Commit
    commits: tuple[Commit, ...]
    uncommitted: tuple[str, ...]
    files: tuple[tuple[str, int | None, int | None], ...]


def compare(folder: Path, base: str | None = None) -> Checkout:
    """Return the checkout in a folder and its base: the merge base with upstream's branch, or with the commit ``base``.

    The folder is only read. Raises SourceInvalid if the folder is no checkout or has no base, NothingTried if it does
    not differ from its base, and PatchConflict if it has an unfinished merge.
    """
    local = revision.from_folder(folder)
    folder = folder.expanduser().resolve()
    if local.commit is None:
        raise SourceInvalid(
            "not a git checkout, so it has no base to compare with",
            folder,
            "clone upstream and make the change there, or give the change as a file: --patch FILE",
        )
    if unmerged := _git_lines(folder, "diff", "--name-only", "--diff-filter=U"):
        raise PatchConflict(
            "the checkout has an unfinished merge",
            folder,
            f"resolve the conflicts in {', '.join(unmerged)} and try again",
        )
    upstream, merge_base = _merge_base(folder, base)
    after = workspace.workspace(local)
    with cache.lock(after.path.with_name(f"{after.path.name}.snapshot")):
        imported = _import(folder, merge_base.id, after)
        before_commit = _without_conversions(folder, merge_base.id, imported, after)
    before = replace(after, base=before_commit, revision=replace(local, commit=merge_base.id))
    files = tuple(_changed_files(before, after))
    if not files:
        raise NothingTried(
            "the checkout does not differ from its base",
            f"{folder}, {merge_base} ({upstream})",
            "if upstream's branch already has the change, give the commit before it: --merge-base COMMIT",
        )
    return Checkout(
        before=before,
        after=after,
        upstream=upstream,
        base=merge_base,
        commits=tuple(_log(folder, f"{merge_base.id}..HEAD")),
        uncommitted=tuple(sorted({line[3:] for line in _git_lines(folder, "status", "--porcelain")})),
        files=files,
    )


def _merge_base(folder: Path, base: str | None) -> tuple[str, Commit]:
    """Return the name of upstream's branch, or ``base`` if it is given, and its merge base with the checkout.

    Raises SourceInvalid if there is no such branch or commit, or no merge base.
    """
    for name in [base] if base else _branches(folder):
        if _git_output(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            common = _git_output(folder, "merge-base", "HEAD", name)
            if not common:
                raise SourceInvalid(
                    f"the checkout has no commit in common with {name}",
                    folder,
                    "run `git fetch --unshallow` if it is a shallow clone, or give another --merge-base",
                )
            return name, next(_log(folder, "-1", common))
    if base:
        raise SourceInvalid(
            "the checkout has no such commit",
            base,
            "give a branch, a tag or a commit of the checkout",
        )
    raise SourceInvalid(
        "the checkout has no branch of upstream",
        folder,
        "give the commit to compare with: --merge-base REF, for example --merge-base HEAD~1",
    )


def _branches(folder: Path) -> Iterator[str]:
    """Yield the names that upstream's branch may have, the most likely first."""
    remotes = _git_lines(folder, "remote")
    urls = {name: _git_output(folder, "remote", "get-url", name).lower() for name in remotes}
    upstreams = [name for name, url in urls.items() if UPSTREAM in url]
    for remote in dict.fromkeys([*upstreams, "upstream", "origin"]):
        yield from (f"{remote}/{branch}" for branch in ("master", "main", "HEAD"))
    yield from ("master", "main")


def _import(folder: Path, commit: str, tree: Tree) -> str:
    """Copy a commit of the checkout, with its submodules as files, to the workspace; return the new commit there."""
    repository = tree.repository
    index = repository.folder / "base-index"
    index.unlink(missing_ok=True)
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)
    base_index = Repository(path=repository.path, index=index)
    _fetch(folder, commit, repository)
    base_index.check_git("read-tree", commit)
    submodules = _submodules(base_index)
    while submodules:
        name, submodule_commit = submodules.popitem()
        base_index.update_index([name], "--force-remove")
        submodule = folder / name
        if not submodule.is_dir() or not any(submodule.iterdir()):
            continue  # not checked out, so the current state lacks it, too
        _fetch(submodule, submodule_commit, repository)
        base_index.check_git("read-tree", f"--prefix={name}/", submodule_commit)
        submodules.update(_submodules(base_index))
    return base_index.commit_index()


def _without_conversions(folder: Path, commit: str, before: str, after: Tree) -> str:
    """Return the commit ``before`` of the workspace, with the checkout's version of each file that git calls unchanged.

    git may convert line endings when it checks files out (autocrlf, attributes), or omit files (a sparse checkout).
    Such differences are no part of the contributor's change. ``commit`` is the commit of the checkout that ``before``
    was imported from.
    """
    changed = set(_git_output(folder, "diff", "--name-only", "--no-renames", "-z", commit).split("\0"))
    repository = after.repository
    present = set(repository.check_git("ls-tree", "-r", "--name-only", "-z", before).split("\0"))
    differing = repository.check_git("diff", "--name-only", "--no-renames", "-z", before, after.base)
    converted = [
        name
        for name in differing.split("\0")
        if name in present and changed.isdisjoint([name, *map(str, PurePosixPath(name).parents)])
    ]
    if not converted:
        return before
    base_index = Repository(path=repository.path, index=repository.folder / "base-index")
    base_index.update_index(converted, "--force-remove")
    with tempfile.TemporaryDirectory() as scratch:
        entries = Path(scratch) / "entries"
        entries.write_text(
            repository.check_git("ls-tree", "-r", "-z", after.base, "--", *converted), encoding="utf-8"
        )
        base_index.check_git("update-index", "-z", "--index-info", stdin=entries)
    return base_index.commit_index()


def _submodules(index: Repository) -> dict[str, str]:
    """Return the commit of each submodule in an index."""
    entries = (
        entry.partition("\t") for entry in index.check_git("ls-files", "--stage", "-z").split("\0") if entry
    )
    return {name: facts.split()[1] for facts, _, name in entries if facts.startswith(_SUBMODULE)}


def _fetch(folder: Path, commit: str, repository: Repository) -> None:
    """Copy a commit without its history from a checkout to the repository of a workspace."""
    done = process.run(
        [
            *("git", "-c", f"core.hooksPath={os.devnull}", "-c", "fetch.recurseSubmodules=false"),
            *(
                f"--git-dir={repository.folder}",
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--depth=1",
            ),
            *(os.fspath(folder), commit),
        ],
        cwd=repository.path,
        env=git.users_environment(),
        quiet=True,
    )
    if done.status:
        raise SourceInvalid(
            f"commit {commit[:10]} cannot be read",
            folder,
            "run `git fetch`, and `git submodule update --init --recursive` for missing submodules. git says:"
            f"\n    {done.output.strip()}",
        )


def _changed_files(before: Tree, after: Tree) -> Iterator[tuple[str, int | None, int | None]]:
    """Yield each file that differs, with the numbers of lines that were added and removed."""
    difference = after.repository.check_git(
        "diff", "--numstat", "--no-renames", "-z", before.base, after.base
    )
    for line in difference.split("\0"):
        if line:
            added, removed, name = line.split("\t", 2)
            yield name, int(added) if added != "-" else None, int(removed) if removed != "-" else None


def _log(folder: Path, *arguments: str) -> Iterator[Commit]:
    """Yield the commits that ``git log`` with these arguments lists."""
    for line in _git_lines(folder, "log", "--format=%H%x09%s", *arguments):
        commit, _, subject = line.partition("\t")
        yield Commit(id=commit, subject=subject)


def _git_output(folder: Path, *arguments: str) -> str:
    """Return the output of a git command that only reads, or "" if it fails."""
    done = git.query(folder, *arguments)
    return done.output.strip("\n") if done.status == 0 else ""


def _git_lines(folder: Path, *arguments: str) -> list[str]:
    """Return the lines of the output of a git command that only reads; none if it fails."""
    return [line for line in _git_output(folder, *arguments).split("\n") if line]
