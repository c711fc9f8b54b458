"""Run git so that neither the user's settings nor an outer repository change what it does."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpp import process
from sdcpp.errors import SourceInvalid

#: Author and date of every commit in a repository of this project: always the same, so that the same content gives
#: the same commit id.
IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (
        ("NAME", "sdcpp-lora-harness"),
        ("EMAIL", "sdcpp-lora-harness@users.noreply.github.com"),
        ("DATE", "2000-01-01T00:00:00+0000"),
    )
}
#: Variables that make git use another repository than that of the current folder (git rev-parse --local-env-vars).
#: git sets some of them for its hooks, and this project may run in a hook.
_POINTERS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
#: The settings of a repository of this project. They change no byte of the content and start no background job. git
#: does not wait for the disk, because the source can be fetched again after a power cut.
_SETTINGS = {
    "core.autocrlf": "false",
    "core.compression": "1",  # 42 MB instead of 168 MB for 0.5 s
    "core.fsync": "none",
    "core.hooksPath": os.devnull,
    "core.longpaths": "true",
    "core.quotePath": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
}
#: Overrides every .gitattributes of the content: no conversion of line ends, no filters.
_ATTRIBUTES = "* !text !eol !ident !filter !working-tree-encoding !diff !merge\n"


def users_environment() -> dict[str, str | None]:
    """Return the changes to the environment for git in a folder of the user's.

    git uses the repository of that folder, and it asks for no password. The user's configuration applies:
    credentials, proxies, ignored files.
    """
    cleared: dict[str, str | None] = dict.fromkeys(_POINTERS)
    return cleared | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def query(folder: Path, *words: str) -> process.Completed:
    """Run a git command that only reads, in a folder of the user's."""
    return process.run(
        # git would start a file-system monitor, which creates files
        ["git", "-c", "core.fsmonitor=false", *words],
        cwd=folder,
        env=users_environment(),
        quiet=True,
        apart=True,
    )


def head(folder: Path) -> str | None:
    """Return the commit that is checked out in ``folder``, or None if it is not the top folder of a checkout."""
    if not (folder / ".git").exists():  # git would use the repository around it
        return None
    answer = query(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = answer.output.strip()
    return commit if answer.status == 0 and re.fullmatch(r"[0-9a-f]{40,64}", commit) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository that this project creates in the folder ``path``.

    ``index`` is an index file to use instead of the repository's. ``content`` is a folder to read the files from
    instead of ``path``. Every call gives git the path of the repository, so that it never searches parent folders.
    """

    path: Path
    index: Path | None = None
    content: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder with git's own files."""
        return self.path / ".git"

    def git(
        self,
        *words: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
    ) -> process.Completed:
        """Run git and return its status and output."""
        ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
        ours |= {"GIT_EXEC_PATH": os.environ.get("GIT_EXEC_PATH"), "LC_ALL": "C"}
        ours |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
        ours |= {**IDENTITY, "GIT_INDEX_FILE": os.fspath(self.index) if self.index else None, **(env or {})}
        content = self.content or self.path
        return process.run(
            ["git", f"--git-dir={self.folder}", f"--work-tree={content}", *words],
            cwd=content,
            env=ours,
            quiet=True,
            apart=True,
            stdin=stdin,
        )

    def check_git(
        self,
        *words: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
    ) -> str:
        """Run a git command that fails only if a folder is damaged; return its output without the last line break.

        Raises SourceInvalid with git's message.
        """
        done = self.git(*words, env=env, stdin=stdin)
        if done.status:
            remedy = (
                "check that all files in it can be read"
                if self.content
                else "remove that folder and try again"
            )
            said = (done.errors or done.output).strip()
            raise SourceInvalid(
                f"git {words[0]} failed", self.content or self.path, f"{remedy}; git says: {said}"
            )
        return done.output.strip("\n")

    def create(self) -> None:
        """Create the repository, without a commit."""
        self.check_git("init", "--quiet", "--template=", "--initial-branch=base")
        with (self.folder / "config").open("a", encoding="utf-8") as config:
            for name, value in _SETTINGS.items():
                section, key = name.split(".")
                config.write(f'[{section}]\n\t{key} = "{value}"\n')
        info = self.folder / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")

    def resolve(self, name: str) -> str | None:
        """Return the commit that a name refers to, or None."""
        answer = self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return answer.output.strip() if answer.status == 0 else None

    def commit_all(self) -> str:
        """Commit all files of the content, also ignored ones, and return the commit. The index has the same files."""
        self.check_git("add", "--all", "--force")
        return self.commit_index()

    def commit_listed(self, names: Iterable[str]) -> str:
        """Commit exactly the files with these names, and return the commit. The index has the same files.

        Names are relative to the content and have slashes. git reads only files that have changed since they were
        added to the index. A name without a file is skipped.
        """
        wanted = set(names)
        self.update_index(self.names() - wanted, "--force-remove")
        self.update_index(wanted, "--add", "--remove", "--replace")
        return self.commit_index()

    def names(self) -> set[str]:
        """Return the names of the files in the index."""
        return set(self.check_git("ls-files", "-z").split("\0")) - {""}

    def update_index(self, names: Iterable[str], *actions: str) -> None:
        """Run ``git update-index`` with these actions on a list of names of any length."""
        with tempfile.TemporaryDirectory() as scratch:
            listing = Path(scratch) / "names"
            listing.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in sorted(names)))
            self.check_git("update-index", *actions, "-z", "--stdin", stdin=listing)

    def commit_index(self) -> str:
        """Commit the files of the index and return the commit, which is the same for the same files."""
        tree = self.check_git("write-tree")
        return self.check_git(
            "commit-tree", "--no-gpg-sign", "-m", "upstream's source, as it was found", tree
        )
