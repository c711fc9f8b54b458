"""Read the patch series: the order of the patches, and the forms of each."""

from __future__ import annotations

from pathlib import Path

from sdcpp import project
from sdcpp.errors import SeriesInvalid
from sdcpp.patching.patch_file import Patch, read
from sdcpp.patching.rules import violations
from sdcpp.source import revision


def names(folder: Path = project.PATCHES) -> tuple[str, ...]:
    """Return the names of the patches that the file ``series`` lists, in order.

    Raises SeriesInvalid if it cannot be read.
    """
    path = folder / "series"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SeriesInvalid(
            f"series cannot be read ({error})",
            path,
            "create it, with the name of one patch on each line",
        ) from error
    return tuple(name for line in lines if (name := line.partition("#")[0].strip()))


def forms(name: str, folder: Path = project.PATCHES) -> tuple[Patch, ...]:
    """Return the forms of a patch: one for each revision whose code differs. Raises SeriesInvalid if it has none."""
    paths = sorted((folder / name).glob("*.patch"))
    if not paths:
        raise SeriesInvalid("there is no patch file in this folder", folder / name, "see the file series")
    return tuple(read(path, name) for path in paths)


def load(folder: Path = project.PATCHES) -> tuple[Patch, ...]:
    """Return all forms of the patches in the order of ``series``. Raises SeriesInvalid for a file that is no patch."""
    return tuple(form for name in names(folder) for form in forms(name, folder))


def lint(folder: Path = project.PATCHES, revisions: Path = project.REVISIONS) -> list[str]:
    """Return all complaints about a folder of patches, each as ``file: complaint``."""
    try:
        listed = names(folder)
    except SeriesInvalid as error:
        return [f"series: {error.what}; {error.remedy}"]
    present = {path.name for path in folder.iterdir()} - {"series", ".gitattributes"}
    complaints = [
        f"{name}: listed more than once in series" for name in dict.fromkeys(listed) if listed.count(name) > 1
    ]
    complaints += [
        f"{name}: in series, but there is no such folder" for name in listed if name not in present
    ]
    complaints += [f"{name}: not in series" for name in sorted(present - set(listed))]
    known = revision.load(revisions)
    for path in sorted(path for name in present for path in _files(folder / name)):
        label = path.relative_to(folder).as_posix()
        try:
            patch = read(path, path.parent.name)
            complaints += [f"{label}: {complaint}" for complaint in violations(patch, known)]
        except SeriesInvalid as error:
            complaints.append(f"{label}: {error.what}")
    return complaints


def _files(path: Path) -> list[Path]:
    """Return what is in a folder, or the path itself if it is a file."""
    return list(path.iterdir()) if path.is_dir() else [path]
