"""A source distribution from the user's package registry: downloaded by pip, checked, unpacked in part."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from sdcpp import cache
from sdcpp.errors import HashMismatch, SourceInvalid, ToolMissing, UnsafeArchive
from sdcpp.source import pip_download
from sdcpp.source.revision import Sdist


def download(sdist: Sdist) -> Path:
    """Return the archive with the pinned hash. If the cache does not have it, pip downloads it.

    pip uses the user's own index, proxy and certificates. An archive that is in the cache's folder ``downloads``
    already is used without any network.

    Raises HashMismatch, and what ``pip_download.download`` raises.
    """
    folder = cache.root() / cache.DOWNLOADS
    target = folder / sdist.filename
    with cache.lock(target):
        if not target.exists():
            for stale in folder.glob(f".{target.name}.*"):  # of a killed process
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=folder) as scratch:
                by_hand = f"place {sdist.filename} (sha256 {sdist.sha256}) into {folder} and try again"
                got = pip_download.download(sdist, Path(scratch), by_hand)
                _verify(got, sdist.sha256)
                got.replace(target)
        _verify(target, sdist.sha256)
    return target


def unpack(archive: Path, folder: str, destination: Path) -> None:
    """Unpack ``folder`` of a tar archive, less its leading component, into the empty folder ``destination``.

    Folders named ``.git`` are left out: they point into a repository that is not there. Files keep their time, by which
    ninja decides what to build, and lose setuid, setgid and sticky bits.

    Raises UnsafeArchive when tarfile's ``data`` filter (PEP 706) refuses any member of the archive, when a member has
    an absolute path, or when a link leads out of ``destination``. Raises SourceInvalid when the archive is damaged or
    has no such folder, and ToolMissing when this Python has no extraction filters.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ToolMissing(
            "tarfile has no extraction filters",
            f"Python {platform.python_version()}",
            "use Python 3.11.4 or later",
        )
    prefix = PurePosixPath(folder)

    def selected(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        """Return a member under its name in ``destination``, or None for one that is not wanted."""
        try:
            # The filter strips leading slashes, and only Windows reads backslashes as separators.
            if tarfile.data_filter(member, path).name != member.name or "\\" in member.name:
                raise tarfile.AbsolutePathError(member)
            inner = _below(prefix, member.name)
            if inner is None or ".git" in inner.parts:
                return None
            link = _below(prefix, member.linkname) if member.islnk() else member.linkname
            if link is None:
                raise tarfile.ExtractError(f"{member.name} is a link to {member.linkname}")
            return tarfile.data_filter(member.replace(name=str(inner), linkname=str(link), deep=False), path)
        except tarfile.FilterError as error:
            raise _unsafe(archive, member.name, str(error)) from error

    try:
        with tarfile.open(archive, errorlevel=2) as tar:
            links = []
            for member in tar:
                if member.issym() or member.islnk():
                    links.append(member)
                else:
                    tar.extract(member, destination, filter=selected)
            # Links come last, so that nothing is written through one: hard links, then symbolic ones.
            for member in sorted(links, key=tarfile.TarInfo.issym):
                tar.extract(member, destination, filter=selected)
    except (tarfile.TarError, zlib.error, EOFError, OSError, KeyError) as error:
        raise SourceInvalid(
            "archive cannot be unpacked", archive, f"remove it and try again: {error}"
        ) from error
    if not any(destination.iterdir()):
        raise SourceInvalid(
            "archive lacks the folder", f"{folder} in {archive.name}", "correct `folder` of its entry"
        )
    # The filter judges a link before those that come after it are there.
    for path in destination.rglob("*"):
        if not _leads_inside(path, destination):
            name = prefix / path.relative_to(destination)
            raise _unsafe(archive, str(name), "it is a link that leaves the folder or leads to itself")


def _below(prefix: PurePosixPath, name: str) -> PurePosixPath | None:
    """Return a member's path below ``prefix``, its first component not counted; None for one that is elsewhere."""
    path = PurePosixPath(*PurePosixPath(name).parts[1:])
    return path.relative_to(prefix) if path.is_relative_to(prefix) else None


def _leads_inside(path: Path, folder: Path) -> bool:
    """Return whether a path in a folder is no link, or one whose target is in that folder, there or not."""
    try:
        if not path.is_symlink():
            return True
        try:
            target = path.resolve(strict=True)
        except FileNotFoundError:
            target = path.resolve()
    # A link to itself, for which Python's version decides on the exception, or a path longer than the system's limit.
    except (RuntimeError, OSError):
        return False
    return target.is_relative_to(folder.resolve())


def _unsafe(archive: Path, name: str, why: str) -> UnsafeArchive:
    return UnsafeArchive(
        "unsafe archive member", f"{name} in {archive.name}", f"do not use this archive: {why}"
    )


def _verify(archive: Path, sha256: str) -> None:
    with archive.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise HashMismatch(
            "archive is not the pinned one", archive, f"remove it and try again; wanted {sha256}, got {got}"
        )
