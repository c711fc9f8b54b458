"""Keep copies of git repositories in the cache: upstream's with its history, and those of its submodules without.

A copy is a partial clone if the server allows it: git fetches the files of a commit when the commit is exported. What
has been fetched stays if a later step is interrupted, and the next call goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sdcpp import cache, git, process
from sdcpp.errors import NetworkUnavailable, SourceInvalid
from sdcpp.git import Repository

#: The environment variable that names another repository of upstream: a URL or a folder.
VARIABLE = "SDCPP_UPSTREAM_URL"
#: What is fetched of a repository: its branches and tags under their own names, and its default branch as DEFAULT.
DEFAULT = "refs/sdcpp/default"
_EVERYTHING = (f"+HEAD:{DEFAULT}", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
#: The file mode of a submodule in git's lists.
_SUBMODULE = "160000"
#: The protocols of commands that need no network: there is none of this name. Otherwise git would ask the server for
#: each object that a partial clone lacks.
_NO_NETWORK = {"GIT_ALLOW_PROTOCOL": "none"}
#: git then refuses a local folder, as it does for submodules.
_OF_SUBMODULE = {"GIT_PROTOCOL_FROM_USER": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A copy of the git repository at ``url``, a URL or the path of a folder.

    The copy of a ``submodule`` has single commits without history. ``local`` says whether a submodule may be a local
    folder, which git allows for submodules of local repositories only (CVE-2022-39253).
    """

    url: str
    submodule: bool = False
    local: bool = True

    @property
    def path(self) -> Path:
        """The folder of the copy in the cache. It has git's files in ``.git``, and no others."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", self.url.rstrip("/").rpartition("/")[2].removesuffix(".git"))
        return cache.root() / cache.UPSTREAM / f"{name}-{hashlib.sha256(self.url.encode()).hexdigest()[:12]}"

    def update(self) -> None:
        """Fetch the branches and tags that are new, with their history.

        Raises NetworkUnavailable if the repository cannot be reached, SourceInvalid if the copy is damaged, CacheBusy
        or CacheUnusable.
        """
        with self._locked():
            self._fetch("--prune", *_EVERYTHING)

    def resolve(self, name: str) -> str | None:
        """Return the commit that a name refers to in the copy, or None. Nothing is fetched."""
        if not self.path.is_dir():
            return None
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return done.output.strip() if done.status == 0 else None

    def fetch(self, name: str) -> str | None:
        """Fetch a reference or a commit of the server by its full name, and return the commit.

        Return None if the server does not have it. Raises what ``update`` raises.
        """
        with self._locked():
            if not self._fetch(f"+{name}:{name}" if name.startswith("refs/") else name, optional=True):
                return None
        return self.resolve(name)

    def export(self, commit: str, folder: Path) -> None:
        """Write the files of a commit and of its submodules into an empty folder, as git has them.

        Raises NetworkUnavailable if they cannot be fetched, SourceInvalid if the server does not have the commit, and
        what ``update`` raises.
        """
        if self.resolve(commit) is None and self.fetch(commit) is None:
            raise SourceInvalid(
                "repository has no such commit", f"{commit} in {self.url}", "check the commit and the URL"
            )
        with self._locked():
            index = self._folder / "export-index"
            index.unlink(missing_ok=True)
            places = {"GIT_INDEX_FILE": os.fspath(index), "GIT_WORK_TREE": os.fspath(folder)}
            done = self.git("read-tree", "--reset", "-u", commit, online=True, env=places)
            if done.status:
                raise self._error(done, "the files of a commit cannot be fetched")
            entries = self.git("ls-files", "--stage", "-z", env=places).output.split("\0")
        listed = (entry.partition("\t") for entry in entries)
        commits = {name: facts.split()[1] for facts, _, name in listed if facts.startswith(_SUBMODULE)}
        for name, url in self._submodules(commit).items():
            if name in commits:
                local = self.local and _is_local(self.url)
                Mirror(url=url, submodule=True, local=local).export(commits[name], folder / name)

    def git(self, *words: str, online: bool = False, env: dict[str, str] | None = None) -> process.Completed:
        """Run git on the copy, which must exist, with the user's configuration: proxies and credentials.

        The command is printed if it may use the network, which only ``online`` allows.
        """
        command = ["git", f"--git-dir={self._folder}", *words]
        settings = self._environment(online=online) | (env or {})
        return process.run(command, cwd=self.path, env=settings, quiet=not online, apart=True)

    def _environment(self, *, online: bool) -> dict[str, str | None]:
        protocols = ({} if self.local else _OF_SUBMODULE) if online else _NO_NETWORK
        return git.users_environment() | protocols

    @property
    def _folder(self) -> Path:
        return self.path / ".git"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Create the copy if it does not exist, and hold its lock. Remove what a killed process has left."""
        cache.get_or_create(self.path, self._create)
        with cache.lock(self.path):
            for stale in (*self._folder.rglob("*.lock"), *self._folder.glob("objects/pack/tmp_*")):
                stale.unlink(missing_ok=True)
            yield

    def _create(self, path: Path) -> None:
        repository = Repository(path=path)
        repository.create()
        settings = {
            "remote.origin.url": self.url,
            "remote.origin.promisor": "true",
            "remote.origin.partialCloneFilter": "blob:none",
            "remote.origin.tagOpt": "--no-tags",
            "extensions.partialClone": "origin",
            "core.repositoryFormatVersion": "1",
            "core.bare": "true",
            "protocol.version": "2",  # older ones do not fetch a commit by its id
        }
        for name, value in settings.items():
            repository.check_git("config", name, value)
        repository.check_git("symbolic-ref", "HEAD", DEFAULT)

    def _fetch(self, *words: str, optional: bool = False) -> bool:
        """Run ``git fetch`` and return whether it fetched everything.

        With ``optional``, the server may lack what is asked for. Raises NetworkUnavailable and SourceInvalid.
        """
        depth = ("--depth=1",) if self.submodule else ()
        options = ("--quiet", "--filter=blob:none", "--no-write-fetch-head", "--recurse-submodules=no")
        done = self.git("fetch", *options, *depth, "origin", *words, online=True)
        if done.status == 0:
            return True
        error = self._error(done, "git repository cannot be fetched")
        if isinstance(error, SourceInvalid) and optional:
            return False
        raise error

    def _error(self, done: process.Completed, what: str) -> NetworkUnavailable | SourceInvalid:
        """Return the error for a failed command: about the network, or about the copy if the server answers."""
        said = "\n    ".join((done.errors or done.output).strip().splitlines()[-8:])
        asked = process.run(
            ["git", "ls-remote", "--quiet", "--", self.url, "HEAD"],
            cwd=self.path.parent,
            env=self._environment(online=True),
            quiet=True,
        )
        if asked.status == 0:
            return SourceInvalid(
                f"{what}, although its server answers; the copy may be damaged",
                self.path,
                f"try again; if that fails, remove that folder. git says:\n    {said}",
            )
        return NetworkUnavailable(
            what,
            self.url,
            "check the network and your access to this URL, or give another copy of upstream's repository with "
            f"{VARIABLE}=URL. git says:\n    {said}",
        )

    def _submodules(self, commit: str) -> dict[str, str]:
        """Return the URL of each submodule by its path. The file that lists them must have been exported."""
        listed = self.git(
            "config", "-z", f"--blob={commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$"
        )
        found: dict[str, dict[str, str]] = {}
        for entry in filter(None, listed.output.split("\0")):
            key, _, value = entry.partition("\n")
            section, _, field = key.rpartition(".")
            found.setdefault(section, {})[field] = value
        return {
            fields["path"]: _absolute(fields["url"], self.url)
            for fields in found.values()
            if len(fields) == 2
        }


def _is_local(url: str) -> bool:
    return url.startswith("file://") or Path(url).is_absolute()


def _absolute(url: str, parent: str) -> str:
    """Return the URL of a submodule, which may be relative to that of its repository."""
    if not url.startswith(("./", "../")):
        return url
    base = parent.rstrip("/")
    while url.startswith(("./", "../")):
        step, _, url = url.partition("/")
        if step == "..":
            base = base.rpartition("/")[0]
    return f"{base}/{url}"
