"""Create a workspace for a revision: a folder with upstream's source tree and a git repository."""

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
from sdcpp.source.mirror import Mirror
from sdcpp.source.revision import Folder, Git, Mirrored, Revision, Sdist, generation

#: A part of the name of every workspace. Raise it when workspaces are created in another way.
LAYOUT = 1
#: The git ref of the unpatched commit in a workspace.
BASE = "refs/sdcpp/base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A workspace. Patched and unpatched states are checked out in its folder ``path``, one after the other.

    ``base`` is the commit of the unpatched state in the repository of the workspace. The last call of
    ``sdcpp.patching.prepared.prepare`` decides which state is checked out.
    """

    revision: Revision
    path: Path
    base: str

    @property
    def repository(self) -> Repository:
        """The repository of the workspace."""
        return Repository(path=self.path)

    @property
    def lora_api(self) -> str:
        """The generation of the LoRA API: that of the revision, or if it is unknown, that of the unpatched header."""
        if self.revision.lora_api:
            return self.revision.lora_api
        shown = (self.repository.git("show", f"{self.base}:{path}") for path in HEADER_PATHS)
        return generation("".join(done.output for done in shown if done.status == 0))


def workspace(revision: Revision) -> Tree:
    """Return the workspace of a revision. If it does not exist, create it.

    An sdist or a git commit is fetched once. A folder of the user is read in every call: its tracked files, and its
    untracked files that git does not ignore. Their current state becomes ``base``; the files of the workspace change
    when it is prepared the next time. Nothing is written to the user's folder.

    Raises HashMismatch, UnsafeArchive, NetworkUnavailable, SourceInvalid, ToolMissing, CacheBusy or CacheUnusable.
    """
    origin = revision.origin
    path = cache.root() / cache.TREES / _folder_name(revision)
    if isinstance(origin, Folder):
        _require_source_tree(origin.path, revision)
    cache.get_or_create(path, lambda partial: _create(revision, partial))
    if isinstance(origin, Folder):
        with cache.lock(path.with_name(f"{path.name}.snapshot")):
            base = _snapshot(origin.path, Repository(path=path))
    else:
        commit = Repository(path=path).resolve(BASE)
        if commit is None:
            raise SourceInvalid("workspace is damaged", path, "remove that folder and try again")
        base = commit
    return Tree(revision=revision, path=path, base=base)


def _folder_name(revision: Revision) -> str:
    """Return the name of the workspace's folder: the name of the revision, and a hash of its origin."""
    identity = hashlib.sha256(f"{LAYOUT} {revision.origin!r} {revision.tag}".encode()).hexdigest()
    return f"{revision.name}-{identity[:12]}"


def _create(revision: Revision, path: Path) -> None:
    """Create a workspace in an empty folder, and check out its base."""
    origin = revision.origin
    repository = Repository(path=path)
    if isinstance(origin, Sdist):
        sdist.unpack(sdist.download(origin), origin.folder, path)
    elif isinstance(origin, Git):
        _clone(origin, path)
    elif isinstance(origin, Mirrored):
        Mirror(url=origin.url).export(origin.commit, path)
    if isinstance(origin, Folder):
        repository.create()
        base = _snapshot(origin.path, repository)
        repository.check_git("read-tree", base)
        repository.check_git("checkout-index", "--all", "--index")
    else:
        _require_source_tree(path, revision)
        repository.create()
        base = repository.commit_all()
        repository.check_git("update-ref", BASE, base)
    repository.check_git("update-ref", "--no-deref", "HEAD", base)
    if revision.tag:  # upstream's CMake writes the output of `git describe --tags` into the library
        repository.check_git("tag", revision.tag, base)


def _require_source_tree(path: Path, revision: Revision) -> None:
    """Raise SourceInvalid, with all missing files, unless a folder has the source of stable-diffusion.cpp."""
    if not path.is_dir():
        raise SourceInvalid("no such folder", path, "give the folder with upstream's CMakeLists.txt")
    missing = [] if (path / "CMakeLists.txt").is_file() else ["CMakeLists.txt"]
    if not any((path / name).is_file() for name in HEADER_PATHS):
        missing.append(" or ".join(HEADER_PATHS))
    if missing:
        raise SourceInvalid(
            "not a source tree of stable-diffusion.cpp",
            path,
            f"it lacks {' and '.join(missing)}; give another folder",
        )
    modules = path / ".gitmodules"
    listed = modules.read_text("utf-8", "replace") if modules.is_file() else ""
    if any((path / revision.ggml).glob("*")):
        return
    if re.search(rf"^\s*path\s*=\s*{re.escape(revision.ggml)}\s*$", listed, re.MULTILINE):
        raise SourceInvalid(
            f"the submodule {revision.ggml} is missing",
            path,
            "run `git submodule update --init --recursive` in this folder",
        )
    if revision.fork_of:
        raise SourceInvalid(
            "the source tree does not have ggml in this folder", revision.ggml, "correct `ggml` of its entry"
        )


def _clone(origin: Git, path: Path) -> None:
    """Fetch the files of a commit and its submodules into an empty folder, without git's own files."""
    folder = Path(origin.url).expanduser()
    local = origin.url.startswith("file://") or folder.exists()
    url = os.fspath(folder.resolve()) if folder.exists() else origin.url
    settings = [
        "core.autocrlf=false",
        "core.eol=lf",
        "advice.detachedHead=false",
        f"core.hooksPath={os.devnull}",
    ]
    if local:  # by default git does not fetch submodules from local folders (CVE-2022-39253)
        settings.append("protocol.file.allow=always")

    def git(*arguments: str, show: bool = False) -> process.Completed:
        options = [part for setting in settings for part in ("-c", setting)]
        return process.run(
            ["git", *options, *arguments], cwd=path, env=users_environment(), show=show, quiet=not show
        )

    def unreachable(done: process.Completed, what: str) -> NetworkUnavailable:
        last = "\n    ".join(done.output.strip().splitlines()[-8:])
        return NetworkUnavailable(
            what, origin.url, f"check the URL, the network and your access to it. git says:\n    {last}"
        )

    git("init", "--quiet", "--template=")
    git("remote", "add", "origin", url)
    # If the server does not allow fetching a single commit, fetch all branches and tags.
    if git("fetch", "--quiet", "--depth=1", "origin", origin.commit, show=True).status:
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        done = git("fetch", "--quiet", "origin", *everything, show=True)
        if done.status:
            raise unreachable(done, "git repository cannot be reached")
    if git("checkout", "--quiet", "--force", "--detach", origin.commit).status:
        raise SourceInvalid(
            "repository has no such commit",
            f"{origin.commit} in {origin.url}",
            "check the commit, and whether it was pushed",
        )
    update = ("submodule", "update", "--init", "--recursive", "--force")
    if git(*update, "--depth=1", show=True).status:
        done = git(*update, show=True)
        if done.status:
            raise unreachable(done, "a submodule cannot be fetched")
    fetched = git("rev-parse", "HEAD").output.strip()
    if fetched != origin.commit:
        raise SourceInvalid(
            f"git fetched another commit than {origin.commit}",
            f"{fetched} from {origin.url}",
            "check the URL",
        )
    for entry in list(path.rglob(".git")):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _snapshot(folder: Path, repository: Repository) -> str:
    """Commit the current files of the user's folder to ``repository``, and return the commit."""
    index = repository.folder / "snapshot-index"
    # Left by a killed process, because the caller holds the lock.
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)
    reader = Repository(path=repository.path, index=index, content=folder)
    is_checkout = (folder / ".git").exists()
    return reader.commit_listed(_checkout_files(folder, "") if is_checkout else _all_files(folder, ""))


def _checkout_files(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the names of the files of a checkout that git does not ignore, each with ``prefix``.

    This includes the files of submodules. A symbolic link counts as a file. Raises SourceInvalid if git cannot list
    the folder.
    """
    answer = git.query(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if answer.status:
        raise SourceInvalid(
            "git cannot list the folder",
            folder,
            f"check that it is a git checkout. git says: {answer.errors.strip()}",
        )
    names = {name.rstrip("/") for name in answer.output.split("\0")} - {""}
    links = {Path(name) for name in names if (folder / name).is_symlink()}
    for name in names:
        path = folder / name
        if links and not links.isdisjoint(Path(name).parents):
            continue  # git still lists the files of a folder that was replaced by a link
        if path.is_dir() and not path.is_symlink():  # a submodule, or a repository that may become one
            list_files = _checkout_files if (path / ".git").exists() else _all_files
            yield from list_files(path, f"{prefix}{name}/")
        elif path.is_symlink() or path.is_file():
            yield f"{prefix}{name}"


def _all_files(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the names of all files of a folder except git's own, each with ``prefix``.

    A symbolic link counts as a file.
    """
    for path in folder.iterdir():
        if path.name == ".git":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _all_files(path, f"{prefix}{path.name}/")
        elif path.is_symlink() or path.is_file():
            yield f"{prefix}{path.name}"


#: The paths of the public header: the first one since sdist 0.4.6, the second one before.
HEADER_PATHS = ("include/stable-diffusion.h", "stable-diffusion.h")


def locate_header(source: Path) -> Path:
    """Return the path of the public header in a source tree; raises HeaderUnsupported if there is none."""
    for path in HEADER_PATHS:
        if (source / path).is_file():
            return source / path
    raise HeaderUnsupported(
        "no public header found",
        source,
        f"check that this is stable-diffusion.cpp: it must have {' or '.join(HEADER_PATHS)}",
    )
