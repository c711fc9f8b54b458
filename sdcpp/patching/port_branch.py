"""Create the branch and the worktree of a port, find those of an unfinished port, and remove them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sdcpp.errors import OutputRefused, SeriesInvalid, SourceInvalid
from sdcpp.patching import port_state
from sdcpp.patching.clone import Clone, target
from sdcpp.patching.form_commits import release
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.port_state import PortState, Step


def start(
    clone: Clone,
    names: Sequence[str],
    *,
    branch: str,
    onto: str,
    folder: Path,
    only: Sequence[str] = (),
    export: tuple[str, str] = ("", ""),
) -> PortState:
    """Create the branch at the commit ``onto`` and its worktree in ``folder``; return the port, with nothing done.

    ``names`` are the patches of the series in order, and ``only`` those to carry, by default all. ``export`` is the
    folder and the label for the patch files; without a label it is the short id of the commit.

    Raises SourceInvalid if a port is unfinished, OutputRefused if the branch or the folder exists, and SeriesInvalid
    for an unknown patch. Nothing is changed then.
    """
    unfinished = port_state.load(clone)
    if unfinished is not None:
        raise SourceInvalid(
            "the clone has an unfinished port", unfinished.folder, "give --continue, --skip or --abort"
        )
    for name in only:
        if name not in names:
            raise SeriesInvalid("the series has no such patch", name, f"the patches are {', '.join(names)}")
    base = target(clone, onto)
    if clone.resolve(f"refs/heads/{branch}") is not None:
        raise OutputRefused("the branch exists already", branch, "give another name with --branch")
    folder = folder.expanduser().resolve()
    if folder.exists():
        raise OutputRefused("the folder exists already", folder, "give another one with --output")
    clone.check_git("worktree", "prune")
    clone.check_git("worktree", "add", "--quiet", "--no-track", "-b", branch, folder, base)
    state = PortState(
        checkout=clone.path,
        branch=branch,
        folder=folder,
        base=base,
        head=base,
        export=export[0],
        label=export[1] or clone.check_git("rev-parse", "--short", base),
        steps=[Step(name=name) for name in names if not only or name in only],
    )
    state.save()
    return state


def unfinished(clone: Clone, patches: Sequence[Patch]) -> PortState:
    """Return the unfinished port of a clone, of the series with these forms.

    Raises SourceInvalid if there is none, or if its worktree is gone, and SeriesInvalid if the series has changed.
    """
    state = _load(clone)
    if not state.folder.is_dir():
        raise SourceInvalid("the worktree of the unfinished port is gone", state.folder, "give --abort")
    forms = {(patch.name, patch.path.name) for patch in patches}
    names = {patch.name for patch in patches}
    for step in state.steps:
        if step.name not in names or (step.commit and (step.name, step.form) not in forms):
            raise SeriesInvalid(
                "the series has changed since the port began",
                f"{step.name} {step.form}".rstrip(),
                "give --abort and start again; git remembers your resolutions",
            )
    return state


def _load(clone: Clone) -> PortState:
    state = port_state.load(clone)
    if state is None:
        raise SourceInvalid("no port is unfinished", clone.path, "leave the option out to start one")
    return state


def abort(clone: Clone) -> PortState:
    """Remove the worktree and the branch of the unfinished port, and return what it was.

    Remembered resolutions stay. Raises SourceInvalid if no port is unfinished.
    """
    state = _load(clone)
    clone = state.clone
    if state.folder.exists():
        clone.check_git("worktree", "remove", "--force", state.folder)
    shutil.rmtree(state.folder, ignore_errors=True)
    clone.check_git("worktree", "prune")
    clone.check_git("branch", "--quiet", "-D", state.branch)
    release(clone)
    return state
