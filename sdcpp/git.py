"""git, run so that neither the user's settings nor an outer repository change what it does."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpp import process
from sdcpp.errors import SourceInvalid

#: Who made the commits of an inner repository, and when: always the same, so that the same content always
#: gives the same commit id.
IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (
        ("NAME", "sdcpp-lora-harness"),
        ("EMAIL", "sdcpp-lora-harness@users.noreply.github.com"),
        ("DATE", "2000-01-01T00:00:00+0000"),
    )
}
#: What points git at another repository than the one in the current folder (git rev-parse --local-env-vars);
#: a git hook sets some of it, and the project may well be run from one.
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
#: The settings of an inner repository. Nothing may change a byte of the content, start a background job, or
#: wait for a disk: what a power cut destroys is fetched again.
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
#: Stands above every .gitattributes of the content: no conversion of line ends, no filters.
_ATTRIBUTES = "* !text !eol !ident !filter !working-tree-encoding !diff !merge\n"


def users_environment() -> dict[str, str | None]:
    """Return what to change in the environment for git in a place of the user's: nothing points elsewhere.

    The user's own configuration holds (credentials, proxies, what to ignore); nothing asks for a password.
    """
    cleared: dict[str, str | None] = dict.fromkeys(_POINTERS)
    return cleared | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def query(folder: Path, *words: str) -> process.Completed:
    """Ask git something about a folder of the user's, writing nothing there."""
    return process.run(
        # a file-system monitor would be started by the question and leave files behind
        ["git", "-c", "core.fsmonitor=false", *words],
        cwd=folder,
        env=users_environment(),
        quiet=True,
        apart=True,
    )


def head(folder: Path) -> str | None:
    """Return the commit that is checked out in ``folder``, or None if it is no checkout itself."""
    if not (folder / ".git").exists():  # what an outer repository has checked out says nothing
        return None
    answer = query(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = answer.output.strip()
    return commit if answer.status == 0 and re.fullmatch(r"[0-9a-f]{40,64}", commit) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository of this project's own, with the folder ``path`` as its content.

    ``index`` names another index file than the repository's own, ``content`` another folder to read files
    from. Every call names the repository outright: found by looking upwards it could be another one.
    """

    path: Path
    index: Path | None = None
    content: Path | None = None

    @property
    def folder(self) -> Path:
        """Where git keeps its things."""
        return self.path / ".git"

    def git(
        self,
        *words: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
    ) -> process.Completed:
        """Run git and return what came of it, whatever that was."""
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
        """Run git where failing means that a folder is damaged; return the output less its last line end.

        Raises SourceInvalid with git's words.
        """
        done = self.git(*words, env=env, stdin=stdin)
        if done.status:
            remedy = "see that all of it can be read" if self.content else "remove that folder and try again"
            said = (done.errors or done.output).strip()
            raise SourceInvalid(
                f"git {words[0]} failed", self.content or self.path, f"{remedy}; git says: {said}"
            )
        return done.output.strip("\n")

    def create(self) -> None:
        """Make the repository, empty."""
        self.check_git("init", "--quiet", "--template=", "--initial-branch=base")
        with (self.folder / "config").open("a", encoding="utf-8") as config:
            for name, value in _SETTINGS.items():
                section, key = name.split(".")
                config.write(f'[{section}]\n\t{key} = "{value}"\n')
        info = self.folder / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")

    def resolve(self, name: str) -> str | None:
        """Return the commit that a name stands for, or None."""
        answer = self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return answer.output.strip() if answer.status == 0 else None

    def commit_all(self) -> str:
        """Commit every file of the content, ignored or not, and return the commit; the index holds it."""
        self.check_git("add", "--all", "--force")
        return self.commit_index()

    def commit_listed(self, names: Iterable[str]) -> str:
        """Commit exactly the files of that list, and return the commit; the index holds it.

        Names are relative to the content, with slashes. git's own index tells which have changed, so only
        those are read. A name whose file is gone is left out.
        """
        wanted = set(names)
        self.update_index(self.names() - wanted, "--force-remove")
        self.update_index(wanted, "--add", "--remove", "--replace")
        return self.commit_index()

    def names(self) -> set[str]:
        """Return the names of all files in the index."""
        return set(self.check_git("ls-files", "-z").split("\0")) - {""}

    def update_index(self, names: Iterable[str], *actions: str) -> None:
        """Do something to files of the index: ``git update-index`` with a list of any length."""
        with tempfile.TemporaryDirectory() as scratch:
            listing = Path(scratch) / "names"
            listing.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in sorted(names)))
            self.check_git("update-index", *actions, "-z", "--stdin", stdin=listing)

    def commit_index(self) -> str:
        """Commit what the index holds, and return the commit: the same for the same files."""
        tree = self.check_git("write-tree")
        return self.check_git(
            "commit-tree", "--no-gpg-sign", "-m", "upstream's source, as it was found", tree
        )
