"""Upstream's own repository: fetch it, and turn its branches, tags, pull requests and commits into revisions."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from sdcpp.errors import SourceInvalid
from sdcpp.source import revision
from sdcpp.source.mirror import DEFAULT, VARIABLE, Mirror
from sdcpp.source.revision import Mirrored, Revision

#: Upstream's own repository.
URL = "https://github.com/leejet/stable-diffusion.cpp"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PULL_REQUEST = re.compile(r"\Apr/(\d+)\Z")


def mirror() -> Mirror:
    """Return the copy of upstream's repository, or of the one that ``$SDCPP_UPSTREAM_URL`` names."""
    url = os.environ.get(VARIABLE) or URL
    folder = Path(url).expanduser()
    return Mirror(url=os.fspath(folder.resolve()) if folder.is_dir() else url)


def find(name: str = "") -> Revision:
    """Return the revision that a name refers to in upstream's repository.

    A name is a branch, a tag, a commit, ``pr/NUMBER`` for a pull request, any other full reference of the server, or
    what git derives from these, such as ``master~3``; "" is the default branch. What is new is fetched first, unless
    the name is a full commit that has been fetched before.

    Raises SourceInvalid if there is no such commit, and what ``Mirror.update`` raises.
    """
    copy = mirror()
    full = _PULL_REQUEST.sub(r"refs/pull/\1/head", name)
    if _COMMIT.fullmatch(full) and copy.resolve(full):
        return _revision(copy, full)
    copy.update()
    # The server lists pull requests, but ``update`` does not fetch them.
    commit = None if full.startswith("refs/") else copy.resolve(full or DEFAULT)
    if commit is None and (full.startswith("refs/") or _COMMIT.fullmatch(full)):
        commit = copy.fetch(full)
    if commit is None:
        raise SourceInvalid(
            "upstream's repository has no such branch, tag, commit or pull request",
            f"{name or 'HEAD'} in {copy.url}",
            "give a name that it has, such as master, a commit or pr/NUMBER",
        )
    return _revision(copy, commit)


def merge_base(old: Revision, new: Revision) -> Revision:
    """Return the newest commit that two revisions of upstream's repository have in common; raises SourceInvalid."""
    copy = mirror()
    done = copy.git("merge-base", str(old.commit), str(new.commit))
    if done.status:
        raise SourceInvalid(
            "the commits have no ancestor in common",
            f"{old.name} and {new.name}",
            "give another --merge-base",
        )
    return _revision(copy, done.output.strip())


def is_ancestor(old: str, new: str) -> bool:
    """Tell whether the commit ``old`` is an ancestor of ``new``. It is not if upstream's repository lacks it."""
    return mirror().git("merge-base", "--is-ancestor", old, new).status == 0


def commits(old: str, new: str) -> list[tuple[str, str, str]]:
    """Return the commits of ``new`` since ``old`` along first parents, the newest first: id, date and subject.

    There are none if upstream's repository does not have one of the two.
    """
    done = mirror().git("log", "--first-parent", "--format=%H%x09%cs%x09%s", f"{old}..{new}")
    lines = done.output.splitlines() if done.status == 0 else []
    return [(commit, date, subject) for commit, date, subject in (line.split("\t", 2) for line in lines)]


def between(good: str, bad: str) -> list[Revision]:
    """Return the revisions from one end to the other along first parents, oldest first. ``find`` reads the names.

    Either end may be the older one. Raises SourceInvalid if neither is an ancestor of the other, and what ``find``
    raises.
    """
    ends = [find(good), find(bad)]
    for old, new in (ends, ends[::-1]):
        if is_ancestor(str(old.commit), str(new.commit)):
            listed = commits(str(old.commit), str(new.commit))
            return [old, *(_dated(mirror(), commit, date) for commit, date, _ in reversed(listed))]
    raise SourceInvalid(
        "neither commit is an ancestor of the other",
        f"{good} and {bad}",
        "give two commits of the same branch",
    )


def compare_url(old: str, new: str) -> str:
    """Return the address of a page that shows the commits between two, or "" if upstream is no page of GitHub."""
    url = mirror().url.removesuffix(".git")
    return f"{url}/compare/{old}...{new}" if url.startswith("https://github.com/") else ""


def _revision(copy: Mirror, commit: str) -> Revision:
    return _dated(copy, commit, copy.git("log", "-1", "--format=%cs", commit).output.strip())


def _dated(copy: Mirror, commit: str, date: str) -> Revision:
    origin = Mirrored(url=copy.url, commit=commit)
    name = f"upstream-{commit[:7]}"
    return replace(revision.from_git(copy.url, commit), name=name, origin=origin, date=date)
