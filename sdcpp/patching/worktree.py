"""Turn the files of ``patches/`` into commits of a working tree, and export the commits back to files.

Each commit has the name of its file in a trailer ``Patch-Filename:``, which amending and rebasing keep. The export
removes the trailer. Message and diff come from the commit alone, and the notes from the file that there was before, so
that a second export changes nothing. If a commit differs from its file only in line numbers, and the file still makes
the same change, the file stays unchanged. Otherwise a patch for several revisions would change with the revision of the
working tree.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdcpp import atomic_write, cache
from sdcpp.errors import OutputRefused, SeriesInvalid
from sdcpp.git import Repository
from sdcpp.patching import patch_file, series
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import PatchState, State, conflict_error, find_states
from sdcpp.source.workspace import BASE, Tree

#: The trailer that names a commit's file.
TRAILER = "Patch-Filename"
#: The git setting of a working tree that has the names of the patch files that its commits come from.
_STARTED = "sdcpp.started"
#: The git setting of a working tree that has the name of its revision.
_REVISION = "sdcpp.revision"
#: Options of git format-patch. One line of context is the minimum for git am. The others make the file depend on the
#: commit alone.
_FORMAT = ("--zero-commit", "--no-signature", "--full-index", "--no-numbered", "--unified=1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The names of the patch files that an export has written, removed, and left unchanged."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


def start(tree: Tree, patches: Iterable[Patch], folder: Path) -> list[Patch]:
    """Create a git repository in ``folder`` with a commit for each patch that applies, and return these patches.

    The repository does not depend on the cache. If anything fails, also because of Ctrl-C, the folder is removed.
    Raises OutputRefused if ``folder`` exists and is not an empty folder, and PatchConflict.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputRefused(
            "exists already and is not an empty folder", folder, "give a folder that is new or empty"
        )
    states = find_states(tree, patches)
    for state in states:
        if state.is_error:
            raise conflict_error(tree, state.patch, state.detail)
    atomic_write.ensure_folder(folder)
    try:
        return _commit_patches(tree, states, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _commit_patches(tree: Tree, states: Iterable[PatchState], folder: Path) -> list[Patch]:
    """Create the repository in an empty folder, and return the patches that apply."""
    repository = Repository(path=folder.resolve())
    repository.create()
    allow = "uploadpack.allowAnySHA1InWant=true"  # in the workspace of a user's folder no ref names the base
    with cache.lock(tree.path):
        repository.check_git(
            "-c", allow, "fetch", "--quiet", "--no-tags", tree.repository.folder, f"{tree.base}:{BASE}"
        )
    repository.check_git("checkout", "--quiet", "-B", "series", BASE)
    repository.check_git("config", _REVISION, tree.revision.name)
    applied = [state.patch for state in states if state.state is State.APPLIES]
    for patch in applied:
        mail = repository.folder / "mail"
        mail.write_bytes(patch.mail)
        done = repository.git("am", "--quiet", "--keep-cr", "--no-3way", "--whitespace=nowarn", mail)
        if done.status:
            raise conflict_error(tree, patch, f"git am says: {(done.errors or done.output).strip()}")
        mail.unlink()
        repository.check_git(
            "commit", "--quiet", "--amend", "--no-edit", "--trailer", f"{TRAILER}: {_file_name(patch)}"
        )
        repository.check_git("config", "--add", _STARTED, _file_name(patch))
    return applied


def export(folder: Path, patches: Path) -> Exported:
    """Write the commits of a working tree to files in the folder ``patches``, and update its file ``series``.

    ``folder`` is a working tree that ``start`` created. A commit without the trailer gets a file name from its subject
    and from the revision. The notes of a new file are the trailers of the commit that belong there, such as
    ``Fixes:``. If a patch that the working tree was started with has no commit any more, its file is removed. Files
    for other revisions stay as they are.

    Raises SeriesInvalid, before anything is written, if ``start`` did not create the folder, if it has uncommitted
    changes, or if two commits have the same file name.
    """
    repository = Repository(path=folder.resolve())
    if not repository.folder.is_dir() or repository.resolve(BASE) is None:
        raise SeriesInvalid(
            "`sdcpp patch start` did not create this folder", folder, "give a folder that it has created"
        )
    if repository.check_git("status", "--porcelain"):
        raise SeriesInvalid(
            "the folder has uncommitted changes", folder, "commit or discard them, then export again"
        )
    revision = repository.git("config", "--get", _REVISION).output.strip()
    started = set(repository.git("config", "--get-all", _STARTED).output.split())
    exported: dict[str, Patch] = {}
    unchanged = []
    for commit in repository.check_git("rev-list", "--reverse", "--no-merges", f"{BASE}..HEAD").split():
        mail = format_patch(repository, commit)
        name, content = _file(mail, patches, revision)
        if name in exported:
            raise SeriesInvalid(
                f"two commits have the file name {name}",
                folder,
                f"squash the two commits, or change the {TRAILER}: line of one",
            )
        path = patches / name
        exported[name] = patch_file.parse(content.encode("utf-8", "surrogateescape"), path, path.parent.name)
        if _equals_file(exported[name]) and _makes(repository, commit, path):
            unchanged.append(name)
    written = tuple(name for name in exported if name not in unchanged)
    removed = tuple(name for name in sorted(started) if name not in exported and (patches / name).is_file())
    for name in written:
        atomic_write.ensure_folder(exported[name].path.parent)
        atomic_write.write(exported[name].path, exported[name].mail)
    for name in removed:
        (patches / name).unlink()
        if not any((patches / name).parent.iterdir()):
            (patches / name).parent.rmdir()
    _write_order(patches, [patch.name for patch in exported.values()])
    repository.git("config", "--unset-all", _STARTED)
    for name in exported:
        repository.check_git("config", "--add", _STARTED, name)
    return Exported(written=written, removed=removed, unchanged=tuple(unchanged))


def _file_name(patch: Patch) -> str:
    """Return the name of the file of a patch in ``patches/``, with its folder."""
    return f"{patch.name}/{patch.path.name}"


def _file(mail: str, patches: Path, revision: str) -> tuple[str, str]:
    """Return the file name of an exported commit, and the content of the file: message, notes and diff."""
    _, trailers = _without_trailers(mail.partition("\n---\n")[0])
    subject = re.search(r"^Subject: \[PATCH\] (?:[^:\n]*: )?(.*)", mail, re.MULTILINE)
    words = re.findall(r"[a-z0-9]+", subject[1].lower() if subject else "")
    name = trailers.pop(TRAILER, f"{'-'.join(words[:5])}/{revision}.patch")
    if (patches / name).is_file():
        notes = patch_file.read(patches / name).notes
    else:
        header = {"Revisions": revision, "Upstream-Status": "Pending"} | trailers
        notes = "\n".join(f"{key}: {value}" for key, value in header.items())
    return name, file_content(mail, notes)


def format_patch(repository: Repository, commit: str) -> str:
    """Return what git format-patch writes for a commit. Windows line ends in the diff stay."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mail"
        repository.check_git("format-patch", "-1", f"--output={path}", *_FORMAT, commit)
        return path.read_bytes().decode("utf-8", "surrogateescape").strip("\n")


def file_content(mail: str, notes: str) -> str:
    """Return the content of a patch file: message and diff of ``mail`` from git format-patch, with these notes.

    Trailers that are not for upstream are left out.
    """
    message, _, rest = mail.partition("\n---\n")
    text, _ = _without_trailers(message)
    return f"{text}\n\n---\n{notes}\n\n{rest[rest.index('diff --git ') :]}\n"


def _without_trailers(message: str) -> tuple[str, dict[str, str]]:
    """Return a message without the trailers that are not for upstream, and these trailers."""
    text, _, last = message.rstrip().rpartition("\n\n")
    pattern = re.compile(rf"^({'|'.join((TRAILER, *patch_file.NOTES))}): (.*(?:\n[ \t].*)*)\n?", re.MULTILINE)
    rest = pattern.sub("", f"{last}\n").strip()
    return f"{text}\n\n{rest}".rstrip(), {match[1]: match[2] for match in pattern.finditer(f"{last}\n")}


def _equals_file(patch: Patch) -> bool:
    """Return whether an exported patch and its file differ in line numbers and hashes at most."""
    return patch.path.is_file() and patch_file.read(patch.path).content_key == patch.content_key


def _makes(repository: Repository, commit: str, file: Path) -> bool:
    """Return whether a patch file makes of the commit before ``commit`` what that commit contains.

    With one line of context, git finds another place if the lines have moved and the context is there twice.
    """
    with tempfile.TemporaryDirectory() as folder:
        apart = replace(repository, index=Path(folder) / "index")
        apart.check_git("read-tree", f"{commit}^")
        done = apart.git("apply", "--cached", "--whitespace=nowarn", file.resolve())
        wanted = repository.check_git("rev-parse", f"{commit}^{{tree}}")
        return not done.status and apart.check_git("write-tree") == wanted


def _write_order(patches: Path, exported: Sequence[str]) -> None:
    """Update the file ``series``: the names in ``exported`` have this order, patches without a file are left out."""
    path = patches / "series"
    listed = series.names(patches)
    order = _merge_order([name for name in listed if (patches / name).is_dir()], exported)
    if order != list(listed):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = [line for line in lines if line.startswith("#") or not line.strip()]
        atomic_write.write(path, "\n".join([*comments, *order, ""]))


def _merge_order(listed: Sequence[str], exported: Sequence[str]) -> list[str]:
    """Return the new order of the series.

    The names in ``exported`` have the order of ``exported``, and the other names in ``listed`` keep their positions. A
    name that is not in ``listed`` comes after the name that precedes it in ``exported``.
    """
    ordered = iter([name for name in exported if name in listed])
    order = [next(ordered) if name in exported else name for name in listed]
    for index, name in enumerate(exported):
        if name not in order:
            order.insert(order.index(exported[index - 1]) + 1 if index else len(order), name)
    return order
