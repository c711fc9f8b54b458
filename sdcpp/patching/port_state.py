"""The state of a port: which patches are done, with which result. It is kept in git's folder of the worktree."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sdcpp import atomic_write
from sdcpp.errors import SourceInvalid
from sdcpp.patching.clone import Clone

_FILE = "sdcpp-port.json"


class Result(enum.StrEnum):
    """What a port did with a patch."""

    CARRIED = "carried"
    RESOLVED = "carried after your resolution"
    REMEMBERED = "carried by a remembered resolution"
    UPSTREAM = "already upstream"
    NOT_NEEDED = "no longer needed"
    CODE_GONE = "code is gone"
    SKIPPED = "skipped"


#: The results with a commit.
CARRIED = (Result.CARRIED, Result.RESOLVED, Result.REMEMBERED)


@dataclass(slots=True, kw_only=True)
class Step:
    """A patch of the series and what was done with it.

    ``form`` is the file name of the form that was tried last. ``commit`` is the commit of the branch that has the
    patch; ``detail`` a short text for the table. Before the step is done, ``result`` is None.
    """

    name: str
    form: str = ""
    result: Result | None = None
    commit: str | None = None
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class PortState:
    """A port: a branch of the clone ``checkout``, checked out in the worktree ``folder``, and its steps in order.

    ``base`` is the commit that the branch began at, ``head`` the commit after the last step that is done. ``stopped``
    says that the next step waits for the user. ``export`` is the folder for the patch files, or "", and ``label`` the
    name of the forms in it.
    """

    checkout: Path
    branch: str
    folder: Path
    base: str
    head: str
    export: str
    label: str
    stopped: bool = False
    steps: list[Step] = field(default_factory=list)

    @property
    def clone(self) -> Clone:
        """The clone of the user."""
        return Clone(path=self.checkout)

    @property
    def worktree(self) -> Clone:
        """The worktree."""
        return Clone(path=self.folder)

    def pending(self) -> Iterator[Step]:
        """Yield the steps that are not done, in order."""
        yield from (step for step in self.steps if step.result is None)

    def commits(self) -> list[Step]:
        """Return the steps that have a commit."""
        return [step for step in self.steps if step.result in CARRIED]

    def save(self) -> None:
        """Write the state to git's folder of the worktree."""
        content = asdict(self) | {"checkout": str(self.checkout), "folder": str(self.folder)}
        atomic_write.write(self.worktree.folder / _FILE, json.dumps(content, indent=1))

    def forget(self) -> None:
        """Remove the saved state: the port is finished."""
        (self.worktree.folder / _FILE).unlink(missing_ok=True)


def load(clone: Clone) -> PortState | None:
    """Return the unfinished port of a clone, or None. Raises SourceInvalid if its file cannot be read."""
    for path in sorted((clone.common_folder / "worktrees").glob(f"*/{_FILE}")):
        try:
            return _parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SourceInvalid(
                f"the state of the unfinished port cannot be read ({error})",
                path,
                "remove this file, then the worktree with `git worktree remove`",
            ) from error
    return None


def _parse(content: dict[str, Any]) -> PortState:
    steps = [
        Step(**entry | {"result": Result(entry["result"]) if entry["result"] else None})
        for entry in content["steps"]
    ]
    paths = {name: Path(content[name]) for name in ("checkout", "folder")}
    return PortState(**content | paths | {"steps": steps})
