"""Download a source distribution, check its hash, and unpack upstream's tree from it."""

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
    """Return the path of the archive in the cache. If it is not there, pip downloads it first.

    pip uses the user's index, proxy and certificates. An archive that the user has put into the cache's folder
    ``downloads`` is used without the network.

    Raises HashMismatch if the archive does not have the pinned hash, and what ``pip_download.download`` raises.
    """
    folder = cache.root() / cache.DOWNLOADS
    target = folder / sdist.filename
    with cache.lock(target):
        if not target.exists():
            for stale in folder.glob(f".{target.name}.*"):  # left by a killed process
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=folder) as scratch:
                by_hand = f"place {sdist.filename} (sha256 {sdist.sha256}) into {folder} and try again"
                archive = pip_download.download(sdist, Path(scratch), by_hand)
                _check_hash(archive, sdist.sha256)
                archive.replace(target)
        _check_hash(target, sdist.sha256)
    return target


def unpack(archive: Path, folder: str, destination: Path) -> None:
    """Unpack a folder of a tar archive into the empty folder ``destination``.

    ``folder`` is a path below the archive's top folder. Files and folders named ``.git`` are omitted, because they
    refer to a repository that does not exist. Files keep their times, by which ninja decides what to build. They lose
    their setuid, setgid and sticky bits.

    Raises UnsafeArchive if tarfile's ``data`` filter (PEP 706) rejects a member of the archive, if a member has an
    absolute path, or if a link leads out of ``destination``. Raises SourceInvalid if the archive is damaged or has no
    such folder, and ToolMissing if this Python has no extraction filters.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ToolMissing(
            "tarfile has no extraction filters",
            f"Python {platform.python_version()}",
            "use Python 3.11.4 or later",
        )
    prefix = PurePosixPath(folder)

    def rename_or_skip(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        """Return a member with its name in ``destination``, or None for a member that is not extracted."""
        try:
            # The filter removes leading slashes, and it checks backslashes only on Windows.
            if tarfile.data_filter(member, path).name != member.name or "\\" in member.name:
                raise tarfile.AbsolutePathError(member)
            name = _below(prefix, member.name)
            if name is None or ".git" in name.parts:
                return None
            link = _below(prefix, member.linkname) if member.islnk() else member.linkname
            if link is None:
                raise tarfile.ExtractError(f"{member.name} is a link to {member.linkname}")
            return tarfile.data_filter(member.replace(name=str(name), linkname=str(link), deep=False), path)
        except tarfile.FilterError as error:
            raise _unsafe(archive, member.name, str(error)) from error

    try:
        with tarfile.open(archive, errorlevel=2) as tar:
            links = []
            for member in tar:
                if member.issym() or member.islnk():
                    links.append(member)
                else:
                    tar.extract(member, destination, filter=rename_or_skip)
            # Links come last, so that nothing is written through a link: first hard links, then symbolic links.
            for member in sorted(links, key=tarfile.TarInfo.issym):
                tar.extract(member, destination, filter=rename_or_skip)
    except (tarfile.TarError, zlib.error, EOFError, OSError, KeyError) as error:
        raise SourceInvalid(
            f"archive cannot be unpacked ({error})", archive, "remove it and try again"
        ) from error
    if not any(destination.iterdir()):
        raise SourceInvalid(
            "archive lacks the folder", f"{folder} in {archive.name}", "correct `folder` in revisions.toml"
        )
    # The filter checks a link before the later links exist, so check all links again.
    for path in destination.rglob("*"):
        if not _leads_inside(path, destination):
            name = prefix / path.relative_to(destination)
            raise _unsafe(archive, str(name), "it is a link that leads out of the folder or to itself")


def _below(prefix: PurePosixPath, name: str) -> PurePosixPath | None:
    """Return a member's path relative to ``prefix`` in the archive's top folder, or None if it is not below it."""
    path = PurePosixPath(*PurePosixPath(name).parts[1:])
    return path.relative_to(prefix) if path.is_relative_to(prefix) else None


def _leads_inside(path: Path, folder: Path) -> bool:
    """Return whether a path is no link, or a link to a path in the folder; the target need not exist."""
    try:
        if not path.is_symlink():
            return True
        try:
            target = path.resolve(strict=True)
        except FileNotFoundError:
            target = path.resolve()
    # A link to itself, for which the exception depends on Python's version, or a path longer than the system's limit.
    except (RuntimeError, OSError):
        return False
    return target.is_relative_to(folder.resolve())


def _unsafe(archive: Path, name: str, why: str) -> UnsafeArchive:
    return UnsafeArchive(
        "unsafe archive member", f"{name} in {archive.name}", f"do not use this archive: {why}"
    )


def _check_hash(archive: Path, sha256: str) -> None:
    """Raise HashMismatch unless an archive has this hash."""
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise HashMismatch(
            f"archive does not have the pinned hash; expected {sha256}, got {actual}",
            archive,
            "remove it and try again",
        )
