"""Run git in a clone that belongs to the user: with the user's identity and settings, but without hooks and editors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpp import git, process
from sdcpp.errors import SourceInvalid
from sdcpp.source.workspace import HEADER_PATHS

#: Settings for every git command. They override those of the user that would change a patch or start a program.
_SETTINGS = {
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    "commit.cleanup": "whitespace",  # a line of the message that begins with # stays
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "mailinfo.scissors": "false",
    "maintenance.auto": "false",
    "merge.renameLimit": "20000",  # upstream has moved most of its files
    "merge.renames": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A checkout of the user, or a linked worktree of one. ``path`` is its top folder."""

    path: Path

    def git(
        self,
        *words: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
    ) -> process.Completed:
        """Run git and return its status and output."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return process.run(
            ["git", *settings, *words],
            cwd=self.path,
            env={**git.users_environment(), "GIT_EDITOR": "true", **(env or {})},
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
        """Run git and return its output without the last line break. Raises SourceInvalid with git's message."""
        done = self.git(*words, env=env, stdin=stdin)
        if done.status:
            parts = [os.fspath(word) for word in words]
            command = next(part for part in parts if not part.startswith("-") and "=" not in part)
            said = (done.errors or done.output).strip()
            raise SourceInvalid(f"git {command} failed", self.path, f"git says: {said}")
        return done.output.strip("\n")

    @property
    def folder(self) -> Path:
        """The folder with git's own files of this checkout or worktree."""
        return Path(self.check_git("rev-parse", "--absolute-git-dir"))

    @property
    def common_folder(self) -> Path:
        """The folder with git's own files that all worktrees of the clone share."""
        return (self.path / self.check_git("rev-parse", "--git-common-dir")).resolve()

    def resolve(self, name: str) -> str | None:
        """Return the commit that a name refers to, or None. A partial clone fetches nothing for that."""
        answer = self.git(
            "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", env={"GIT_NO_LAZY_FETCH": "1"}
        )
        return answer.output.strip() if answer.status == 0 else None

    def unmerged(self) -> tuple[str, ...]:
        """Return the names of the files that have conflicts."""
        listed = self.check_git("diff", "--name-only", "--diff-filter=U", "-z").split("\0")
        return tuple(dict.fromkeys(name for name in listed if name))


def open_clone(path: Path) -> Clone:
    """Return the clone whose checkout, or linked worktree, is the folder ``path``.

    Raises SourceInvalid if it is not the top folder of a checkout, or if git does not know who the user is.
    """
    folder = path.expanduser().resolve()
    if not folder.is_dir() or git.head(folder) is None:
        raise SourceInvalid(
            "not the top folder of a git checkout", folder, "give your clone of upstream: git clone URL"
        )
    clone = Clone(path=folder)
    if clone.git("var", "GIT_COMMITTER_IDENT").status:
        raise SourceInvalid(
            "git does not know who makes the commits",
            folder,
            "run `git config --global user.name NAME` and `git config --global user.email ADDRESS`",
        )
    return clone


def target(clone: Clone, ref: str) -> str:
    """Return the commit ``ref`` of a clone.

    Raises SourceInvalid if there is none, or if it is not the source of stable-diffusion.cpp.
    """
    commit = clone.resolve(ref)
    if commit is None:
        raise SourceInvalid(
            f"the clone has no commit {ref}", clone.path, "check the name, or run `git fetch`"
        )
    names = clone.check_git("ls-tree", "--name-only", commit, "CMakeLists.txt", *HEADER_PATHS).split()
    if "CMakeLists.txt" not in names or len(names) == 1:
        raise SourceInvalid(
            f"{ref} is not the source of stable-diffusion.cpp",
            clone.path,
            f"it must have CMakeLists.txt and {' or '.join(HEADER_PATHS)}",
        )
    return commit
