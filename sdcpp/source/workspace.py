"""Upstream's source tree at a revision, as a workspace with a git repository of its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdcpp import cache, git, process
from sdcpp.errors import HeaderUnsupported, NetworkUnavailable, SourceInvalid
from sdcpp.git import Repository, users_environment
from sdcpp.source import sdist
from sdcpp.source.revision import Folder, Git, Revision, Sdist, generation

#: Part of every workspace's key; another number after a change in how one is made.
LAYOUT = 1
#: The name under which a workspace remembers its unpatched commit.
BASE = "refs/sdcpp/base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A workspace: ``path`` is where patched and unpatched states are checked out in turn.

    ``base`` is the commit of the unpatched state in the workspace's own repository. Which state the files
    show is up to whoever prepared the workspace last; see sdcpp.patching.series.prepare.
    """

    revision: Revision
    path: Path
    base: str

    @property
    def repository(self) -> Repository:
        """The workspace's own repository."""
        return Repository(path=self.path)

    @property
    def lora_api(self) -> str:
        """The generation of the LoRA API: the revision's, or the one that the unpatched header shows."""
        if self.revision.lora_api:
            return self.revision.lora_api
        texts = (self.repository.git("show", f"{self.base}:{name}") for name in HEADER_PLACES)
        return generation("".join(text.output for text in texts if text.status == 0))


def workspace(revision: Revision) -> Tree:
    """Return the revision's workspace, made if it is not there, complete or absent.

    An sdist or a git commit is fetched once. A folder of the user's is read again at every call, tracked
    and untracked files without the ignored ones; the state found becomes ``base``, while the workspace's
    files change only when it is prepared next. Nothing is ever written into the user's folder.

    Raises HashMismatch, UnsafeArchive, NetworkUnavailable, SourceInvalid, ToolMissing, CacheBusy.
    """
    origin = revision.origin
    path = cache.root() / cache.TREES / _key(revision)
    if isinstance(origin, Folder):
        _require(origin.path)
    cache.get_or_create(path, lambda partial: _make(revision, partial))
    if isinstance(origin, Folder):
        with cache.lock(path.with_name(f"{path.name}.snapshot")):
            base = _snapshot(origin.path, Repository(path=path))
    else:
        found = Repository(path=path).resolve(BASE)
        if found is None:
            raise SourceInvalid("workspace is damaged", path, "remove that folder and try again")
        base = found
    return Tree(revision=revision, path=path, base=base)


def _key(revision: Revision) -> str:
    identity = hashlib.sha256(f"{LAYOUT} {revision.origin!r} {revision.tag}".encode()).hexdigest()
    return f"{revision.name}-{identity[:12]}"


def _make(revision: Revision, path: Path) -> None:
    """Fill a new workspace, checked out at its base."""
    origin = revision.origin
    inner = Repository(path=path)
    if isinstance(origin, Sdist):
        sdist.unpack(sdist.download(origin), origin.folder, path)
    elif isinstance(origin, Git):
        _clone(origin, path)
    if isinstance(origin, Folder):
        inner.create()
        base = _snapshot(origin.path, inner)
        inner.check_git("read-tree", base)
        inner.check_git("checkout-index", "--all", "--index")
    else:
        _require(path)
        inner.create()
        base = inner.commit_all()
        inner.check_git("update-ref", BASE, base)
    inner.check_git("update-ref", "--no-deref", "HEAD", base)
    if revision.tag:  # upstream's CMake stamps `git describe --tags` into the library
        inner.check_git("tag", revision.tag, base)


def _require(path: Path) -> None:
    """Raise SourceInvalid, naming all that is missing, unless the folder holds stable-diffusion.cpp."""
    if not path.is_dir():
        raise SourceInvalid("no such folder", path, "give the folder that holds upstream's CMakeLists.txt")
    missing = [] if (path / "CMakeLists.txt").is_file() else ["CMakeLists.txt"]
    if not any((path / name).is_file() for name in HEADER_PLACES):
        missing.append(" or ".join(HEADER_PLACES))
    if missing:
        raise SourceInvalid(
            "not a source tree of stable-diffusion.cpp",
            path,
            f"it lacks {' and '.join(missing)}; give another folder",
        )
    modules = path / ".gitmodules"
    listed = modules.read_text("utf-8", "replace") if modules.is_file() else ""
    if re.search(r"^\s*path\s*=\s*ggml\s*$", listed, re.MULTILINE) and not any((path / "ggml").glob("*")):
        raise SourceInvalid(
            "the submodule ggml is missing", path, "run `git submodule update --init --recursive` in it"
        )


def _clone(origin: Git, path: Path) -> None:
    """Bring a commit with its submodules into an empty folder, leaving no git files there."""
    place = Path(origin.url).expanduser()
    local = origin.url.startswith("file://") or place.exists()
    url = os.fspath(place.resolve()) if place.exists() else origin.url
    settings = [
        "core.autocrlf=false",
        "core.eol=lf",
        "advice.detachedHead=false",
        f"core.hooksPath={os.devnull}",
    ]
    if local:  # git refuses submodules from folders of this machine otherwise (CVE-2022-39253)
        settings.append("protocol.file.allow=always")

    def git(*words: str, show: bool = False) -> process.Completed:
        options = [part for setting in settings for part in ("-c", setting)]
        return process.run(
            ["git", *options, *words], cwd=path, env=users_environment(), show=show, quiet=not show
        )

    def unreachable(done: process.Completed, what: str) -> NetworkUnavailable:
        last = "\n    ".join(done.output.strip().splitlines()[-8:])
        return NetworkUnavailable(
            what, origin.url, f"check the URL, the network and your access to it. git says:\n    {last}"
        )

    git("init", "--quiet", "--template=")
    git("remote", "add", "origin", url)
    # A server may refuse to hand out a single commit; all branches and tags then have to come.
    if git("fetch", "--quiet", "--depth=1", "origin", origin.commit, show=True).status:
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        done = git("fetch", "--quiet", "origin", *everything, show=True)
        if done.status:
            raise unreachable(done, "git repository cannot be reached")
    if git("checkout", "--quiet", "--force", "--detach", origin.commit).status:
        raise SourceInvalid(
            "repository has no such commit",
            f"{origin.commit} in {origin.url}",
            "check the commit, and that it was pushed",
        )
    update = ("submodule", "update", "--init", "--recursive", "--force")
    if git(*update, "--depth=1", show=True).status:
        done = git(*update, show=True)
        if done.status:
            raise unreachable(done, "a submodule cannot be fetched")
    got = git("rev-parse", "HEAD").output.strip()
    if got != origin.commit:
        raise SourceInvalid(
            "git fetched another commit", f"{got} from {origin.url}", f"check the URL; wanted {origin.commit}"
        )
    for entry in list(path.rglob(".git")):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _snapshot(folder: Path, inner: Repository) -> str:
    """Commit the user's folder as it is now, read in place, and return the commit."""
    index = inner.folder / "snapshot-index"
    # Of a killed process, since the caller has the lock.
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)
    reader = Repository(path=inner.path, index=index, content=folder)
    checkout = (folder / ".git").exists()
    return reader.commit_listed(_tracked(folder, "") if checkout else _all(folder, ""))


def _tracked(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the files of a checkout that git does not ignore, submodules likewise, each after ``prefix``.

    A symbolic link counts as a file. Raises SourceInvalid when git refuses the folder.
    """
    answer = git.query(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if answer.status:
        raise SourceInvalid(
            "git cannot list the folder",
            folder,
            f"check that it is a git checkout; git says: {answer.errors.strip()}",
        )
    names = {name.rstrip("/") for name in answer.output.split("\0")} - {""}
    links = {Path(name) for name in names if (folder / name).is_symlink()}
    for name in names:
        path = folder / name
        if links and not links.isdisjoint(Path(name).parents):
            continue  # git still lists what was in a folder that is a link by now
        if path.is_dir() and not path.is_symlink():  # a submodule, or a repository that may become one
            yield from (_tracked if (path / ".git").exists() else _all)(path, f"{prefix}{name}/")
        elif path.is_symlink() or path.is_file():
            yield f"{prefix}{name}"


def _all(folder: Path, prefix: str) -> Iterator[str]:
    """Yield every file of a folder but git's own, each after ``prefix``; a symbolic link counts as a file."""
    for path in folder.iterdir():
        if path.name == ".git":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _all(path, f"{prefix}{path.name}/")
        elif path.is_symlink() or path.is_file():
            yield f"{prefix}{path.name}"


#: Where the public header is: in a folder of its own since sdist 0.4.6, at the top before.
HEADER_PLACES = ("include/stable-diffusion.h", "stable-diffusion.h")


def locate_header(source: Path) -> Path:
    """Return the public header of a source tree; raises HeaderUnsupported where there is none."""
    for place in HEADER_PLACES:
        if (source / place).is_file():
            return source / place
    raise HeaderUnsupported(
        "no public header found",
        source,
        f"check that this is stable-diffusion.cpp: it must have one of {', '.join(HEADER_PLACES)}",
    )
