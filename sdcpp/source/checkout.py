"""A contributor's checkout of upstream: the state that it grew from, and what it has changed since."""

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

#: A remote whose URL has this is upstream's own, whatever it is called.
UPSTREAM = "leejet/stable-diffusion.cpp"
#: The mode under which git lists a submodule.
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
    """Two states of a checkout in one workspace: ``before`` is its base, ``after`` it itself as it is now.

    ``upstream`` names the branch that the base was found with. ``commits`` are those since the base, the newest
    first; ``uncommitted`` are the files that differ from the newest commit, new ones that git does not ignore
    included. ``files`` has for each file that differs from the base the lines added and removed, None for a
    binary file.
    """

    before: Tree
    after: Tree
    upstream: str
    base: Commit
    commits: tuple[Commit, ...]
    uncommitted: tuple[str, ...]
    files: tuple[tuple[str, int | None, int | None], ...]


def compare(folder: Path, base: str | None = None) -> Checkout:
    """Return a checkout and its base: the merge base with upstream's branch, or with ``base``.

    The folder is read and never written to. Raises SourceInvalid where it is no checkout or has no base, NothingTried
    if it does not differ from its base, PatchConflict if a merge in it is unfinished.
    """
    wanted = revision.from_folder(folder)
    place = folder.expanduser().resolve()
    if wanted.commit is None:
        raise SourceInvalid(
            "not a git checkout, so it has no base to compare with",
            place,
            "clone upstream and make the change there, or give the change as a file: --patch FILE",
        )
    if unmerged := _lines(place, "diff", "--name-only", "--diff-filter=U"):
        raise PatchConflict(
            "the checkout has an unfinished merge",
            place,
            f"resolve the conflicts in {', '.join(unmerged)} and try again",
        )
    upstream, start = _base(place, base)
    after = workspace.workspace(wanted)
    with cache.lock(after.path.with_name(f"{after.path.name}.snapshot")):
        start_there = _alike(place, start.id, _import(place, start.id, after), after)
    before = replace(after, base=start_there, revision=replace(wanted, commit=start.id))
    files = tuple(_changed(before, after))
    if not files:
        raise NothingTried(
            "the checkout does not differ from its base",
            f"{place}, {start} ({upstream})",
            "if upstream's branch has the change, too, name the commit before it: --merge-base COMMIT",
        )
    return Checkout(
        before=before,
        after=after,
        upstream=upstream,
        base=start,
        commits=tuple(_log(place, f"{start.id}..HEAD")),
        uncommitted=tuple(sorted({line[3:] for line in _lines(place, "status", "--porcelain")})),
        files=files,
    )


def _base(folder: Path, wanted: str | None) -> tuple[str, Commit]:
    """Return the name of upstream's branch and the commit that the checkout has last in common with it."""
    for name in [wanted] if wanted else _branches(folder):
        if _ask(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            common = _ask(folder, "merge-base", "HEAD", name)
            if not common:
                raise SourceInvalid(
                    f"the checkout has no commit in common with {name}",
                    folder,
                    "run `git fetch --unshallow` in a shallow clone, or give another --merge-base",
                )
            return name, next(_log(folder, "-1", common))
    if wanted:
        raise SourceInvalid(
            "the checkout has no such commit", wanted, "give a branch, a tag or a commit of it"
        )
    raise SourceInvalid(
        "the checkout has no branch of upstream",
        folder,
        "name what to compare with: --merge-base REF, for example --merge-base HEAD~1",
    )


def _branches(folder: Path) -> Iterator[str]:
    """Yield the names that upstream's branch may have, the surest first."""
    remotes = _lines(folder, "remote")
    urls = {name: _ask(folder, "remote", "get-url", name).lower() for name in remotes}
    own = [name for name, url in urls.items() if UPSTREAM in url]
    for remote in dict.fromkeys([*own, "upstream", "origin"]):
        yield from (f"{remote}/{branch}" for branch in ("master", "main", "HEAD"))
    yield from ("master", "main")


def _import(folder: Path, commit: str, tree: Tree) -> str:
    """Bring a commit of the checkout into its workspace, submodules as files, and return it as a commit there."""
    inner = tree.repository
    index = inner.folder / "base-index"
    index.unlink(missing_ok=True)
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)
    room = Repository(path=inner.path, index=index)
    _fetch(folder, commit, inner)
    room.check_git("read-tree", commit)
    waiting = _submodules(room)
    while waiting:
        name, part = waiting.popitem()
        room.update_index([name], "--force-remove")
        place = folder / name
        if not place.is_dir() or not any(place.iterdir()):
            continue  # not there now either: what the library does not need is often left out
        _fetch(place, part, inner)
        room.check_git("read-tree", f"--prefix={name}/", part)
        waiting.update(_submodules(room))
    return room.commit_index()


def _alike(folder: Path, commit: str, before: str, after: Tree) -> str:
    """Return ``before``, a commit of the workspace, with what git calls unchanged as the checkout has it.

    git may convert line ends when it checks out (autocrlf, attributes), or leave files out (a sparse checkout): that is
    no part of the change.
    """
    changed = set(_ask(folder, "diff", "--name-only", "--no-renames", "-z", commit).split("\0"))
    inner = after.repository
    there = set(inner.check_git("ls-tree", "-r", "--name-only", "-z", before).split("\0"))
    spurious = [
        name
        for name in inner.check_git("diff", "--name-only", "--no-renames", "-z", before, after.base).split(
            "\0"
        )
        if name in there and changed.isdisjoint([name, *map(str, PurePosixPath(name).parents)])
    ]
    if not spurious:
        return before
    room = Repository(path=inner.path, index=inner.folder / "base-index")
    room.update_index(spurious, "--force-remove")
    with tempfile.TemporaryDirectory() as scratch:
        entries = Path(scratch) / "entries"
        entries.write_text(
            inner.check_git("ls-tree", "-r", "-z", after.base, "--", *spurious), encoding="utf-8"
        )
        room.check_git("update-index", "-z", "--index-info", stdin=entries)
    return room.commit_index()


def _submodules(room: Repository) -> dict[str, str]:
    entries = (
        entry.partition("\t") for entry in room.check_git("ls-files", "--stage", "-z").split("\0") if entry
    )
    return {name: facts.split()[1] for facts, _, name in entries if facts.startswith(_SUBMODULE)}


def _fetch(folder: Path, commit: str, inner: Repository) -> None:
    """Copy a commit, without its history, from a checkout into a workspace's repository."""
    done = process.run(
        [
            *("git", "-c", f"core.hooksPath={os.devnull}", "-c", "fetch.recurseSubmodules=false"),
            *(
                f"--git-dir={inner.folder}",
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--depth=1",
            ),
            *(os.fspath(folder), commit),
        ],
        cwd=inner.path,
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


def _changed(before: Tree, after: Tree) -> Iterator[tuple[str, int | None, int | None]]:
    difference = after.repository.check_git(
        "diff", "--numstat", "--no-renames", "-z", before.base, after.base
    )
    for line in difference.split("\0"):
        if line:
            added, removed, name = line.split("\t", 2)
            yield name, int(added) if added != "-" else None, int(removed) if removed != "-" else None


def _log(folder: Path, *words: str) -> Iterator[Commit]:
    for line in _lines(folder, "log", "--format=%H%x09%s", *words):
        name, _, subject = line.partition("\t")
        yield Commit(id=name, subject=subject)


def _ask(folder: Path, *words: str) -> str:
    answer = git.query(folder, *words)
    return answer.output.strip("\n") if answer.status == 0 else ""


def _lines(folder: Path, *words: str) -> list[str]:
    return [line for line in _ask(folder, *words).split("\n") if line]
