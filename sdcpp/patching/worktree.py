"""The series as commits of a working tree: started from the files of ``patches/``, and exported back to them.

Each commit remembers its file in a trailer ``Patch-Filename:``, which stays through amending and rebasing and
is taken out again on the way back. What is exported is made by git from the commit alone, so exporting twice
changes nothing. A file that says the same as its commit is left as it is: a patch for several revisions is not
written anew with the line numbers of each.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdcpp import atomic_write, cache
from sdcpp.errors import OutputRefused, SeriesInvalid
from sdcpp.git import Repository
from sdcpp.patching import patch_file, series
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.series import PatchState, State
from sdcpp.source.workspace import BASE, Tree

#: The trailer that names a commit's file.
TRAILER = "Patch-Filename"
#: The configuration entry in which a working tree keeps the files that it was started from.
_STARTED = "sdcpp.started"
#: The least context that git am accepts; the rest gives the same commit the same file.
_FORMAT = ("--zero-commit", "--no-signature", "--full-index", "--no-numbered", "--unified=1", "--stat=80")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files of ``patches/`` that an export wrote, removed, and left as they were."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    same: tuple[str, ...]


def start(tree: Tree, patches: Iterable[Patch], folder: Path) -> list[Patch]:
    """Make ``folder`` a git repository that shows the revision with its patches, one commit each.

    It needs nothing else to live: the cache may be cleared. Returns the patches that it has.
    If anything goes wrong meanwhile, Ctrl-C included, the folder is removed.
    Raises OutputRefused for a folder with something in it, and PatchConflict.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputRefused(
            "exists already and is not an empty folder", folder, "give a folder that is new or empty"
        )
    states = series.states(tree, patches)
    for state in states:
        if state.state is State.CONFLICTS:
            raise series.conflict(tree, state.patch, state.detail)
    atomic_write.ensure_folder(folder)
    try:
        return _started(tree, states, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _started(tree: Tree, states: Iterable[PatchState], folder: Path) -> list[Patch]:
    """Fill an empty folder and return the patches that it has."""
    made = Repository(path=folder.resolve())
    made.create()
    allow = "uploadpack.allowAnySHA1InWant=true"  # a user's folder has no name for its base
    with cache.lock(tree.path):
        made.check_git(
            "-c", allow, "fetch", "--quiet", "--no-tags", tree.repository.folder, f"{tree.base}:{BASE}"
        )
    made.check_git("checkout", "--quiet", "-B", "series", BASE)
    applied = [state.patch for state in states if state.state is State.APPLIES]
    for wanted in applied:
        mail = made.folder / "mail"
        mail.write_bytes(wanted.mail)
        done = made.git("am", "--quiet", "--keep-cr", "--no-3way", "--whitespace=nowarn", mail)
        if done.status:
            raise series.conflict(tree, wanted, f"git am says: {(done.errors or done.output).strip()}")
        mail.unlink()
        made.check_git(
            "commit", "--quiet", "--amend", "--no-edit", "--trailer", f"{TRAILER}: {wanted.path.name}"
        )
        made.check_git("config", "--add", _STARTED, wanted.path.name)
    return applied


def export(folder: Path, patches: Path) -> Exported:
    """Write the commits of a working tree that ``start`` made into ``patches``, and its ``series``.

    A commit without the trailer gets a file named by its subject. A patch that the working tree was started
    with and that has no commit any more is removed; patches for other revisions keep their place.
    Raises SeriesInvalid, before anything is written, for a folder that ``start`` did not make, changes without
    a commit, and two commits of one file.
    """
    made = Repository(path=folder.resolve())
    if not made.folder.is_dir() or made.resolve(BASE) is None:
        raise SeriesInvalid(
            "the folder was not made by `sdcpp patch start`", folder, "give a folder that it has made"
        )
    if made.check_git("status", "--porcelain"):
        raise SeriesInvalid(
            "the folder has uncommitted changes", folder, "commit or discard them, then export again"
        )
    listed = series.entries(patches)
    started = set(made.git("config", "--get-all", _STARTED).output.split())
    found: dict[str, Patch] = {}
    for commit in made.check_git("rev-list", "--reverse", "--no-merges", f"{BASE}..HEAD").split():
        mail = made.check_git("format-patch", "-1", "--stdout", *_FORMAT, commit)
        name, text = _named(mail)
        if name in found:
            raise SeriesInvalid(
                f"two commits have the file name {name}",
                folder,
                f"squash them, or change one's {TRAILER}: line",
            )
        found[name] = patch_file.parse(text.encode("utf-8", "surrogateescape"), patches / name)
    same = tuple(name for name, made_now in found.items() if name in listed and _equal(patches, made_now))
    written = tuple(name for name in found if name not in same)
    removed = tuple(name for name in listed if name in started and name not in found)
    for name in written:
        atomic_write.write(patches / name, found[name].mail)
    for name in removed:
        (patches / name).unlink(missing_ok=True)
    order = _merged([name for name in listed if name not in removed], list(found))
    path = patches / "series"
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#") or not line.strip()]
    if order != list(listed):
        atomic_write.write(path, "\n".join([*head, *order, ""]))
    made.git("config", "--unset-all", _STARTED)
    for name in found:
        made.check_git("config", "--add", _STARTED, name)
    return Exported(written=written, removed=removed, same=same)


def _named(mail: str) -> tuple[str, str]:
    """Return the file name of an exported commit, and its mail without the trailer that says it."""
    message, line, rest = mail.partition("\n---\n")
    named = re.search(rf"^{TRAILER}: (\S+)\n?", f"{message}\n", re.MULTILINE)
    if named:
        message = (message + "\n").replace(named[0], "", 1).removesuffix("\n")
        return named[1], f"{message}{line}{rest}\n"
    subject = re.search(r"^Subject: \[PATCH\] (?:[^:\n]*: )?(.*)", mail, re.MULTILINE)
    words = re.findall(r"[a-z0-9]+", subject[1].lower() if subject else "")
    return "-".join(words[:5]) + ".patch", f"{mail}\n"


def _equal(patches: Path, now: Patch) -> bool:
    """Return whether a patch's file says what its commit does, line numbers and hashes aside."""
    return patch_file.read(patches / now.path.name).content_key == now.content_key


def _merged(listed: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return ``listed`` with those of ``found`` in their order, new ones after what they follow there."""
    ordered = iter([name for name in found if name in listed])
    order = [next(ordered) if name in found else name for name in listed]
    for place, name in enumerate(found):
        if name not in order:
            order.insert(order.index(found[place - 1]) + 1 if place else len(order), name)
    return order
