"""A source distribution from the user's package registry: downloaded by pip, checked, unpacked in part."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from sdcpp import cache, console, process
from sdcpp.errors import HashMismatch, NetworkUnavailable, SourceInvalid, ToolMissing, UnsafeArchive
from sdcpp.source.revision import Sdist


def download(sdist: Sdist) -> Path:
    """Return the archive, whole and of the pinned hash, asking pip for it if the cache has none.

    pip is asked so that the user's own index, proxy and certificates hold. It checks the hash before it
    runs the archive's build backend, which it does for the metadata even when only downloading.
    An archive that lies in the cache's ``downloads`` folder already is used without any network.

    Raises HashMismatch, NetworkUnavailable, ToolMissing.
    """
    folder = cache.root() / cache.DOWNLOADS
    target = folder / sdist.filename
    with cache.lock(target):
        if not target.exists():
            for stale in folder.glob(f".{target.name}.*"):  # of a killed process
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=folder) as scratch:
                _pip(sdist, Path(scratch), target)
        _verify(target, sdist.sha256)
    return target


def unpack(archive: Path, folder: str, destination: Path) -> None:
    """Unpack ``folder`` of a tar archive, less its leading component, into the existing ``destination``.

    Git's own files in it are left out: they point into a repository that is not there.

    Raises UnsafeArchive when any member of the archive would land outside its folder, is a device or a link
    that leaves it; SourceInvalid when the archive has no such folder or is no archive.
    """
    prefix = PurePosixPath(folder)
    links: list[tuple[Path, tarfile.TarInfo]] = []
    found = False
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                inner = _inner(archive, member, prefix)
                if inner is None or ".git" in inner.parts:
                    continue
                found, path = True, destination / inner
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if member.issym():
                    links.append((path, member))
                elif member.islnk():  # to a file that came before it, and to one that is unpacked
                    target = _inner(archive, tar.getmember(member.linkname), prefix)
                    shutil.copy2(destination / (target or "nowhere"), path)
                else:
                    _write(tar, member, path)
        for path, member in links:  # only now, so that nothing was written through a link ...
            path.symlink_to(member.linkname)
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        raise SourceInvalid(
            "archive cannot be unpacked", archive, f"remove it and try again: {error}"
        ) from error
    if not found:
        raise SourceInvalid(
            "archive lacks the folder", f"{folder} in {archive.name}", "mend `folder` of its entry"
        )
    for path, member in links:  # ... and judged by where they really lead
        try:
            inside = path.resolve().is_relative_to(destination.resolve())
        except (
            RuntimeError,
            OSError,
        ):  # a link that leads to itself; which of the two depends on Python's version
            inside = False
        if not inside:
            raise _unsafe(archive, member, f"a link to {member.linkname}")


def _pip(sdist: Sdist, scratch: Path, target: Path) -> None:
    """Download with pip into ``scratch`` and move the archive to ``target``."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(
        f"{sdist.package}=={sdist.version} --hash=sha256:{sdist.sha256}\n", encoding="utf-8"
    )
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    places = ["-r", os.fspath(requirements), "-d", os.fspath(scratch / "got")]
    console.note(f"downloading {sdist.package} {sdist.version}")
    done = process.run([sys.executable, "-m", "pip", "download", *options, *quiet, *places], show=True)
    by_hand = f"place {sdist.filename} (sha256 {sdist.sha256}) into {target.parent} and try again"
    if done.status:
        raise _explained(done.output, f"{sdist.package} {sdist.version}", by_hand)
    got = [path for path in (scratch / "got").iterdir() if path.name.endswith(".tar.gz")]
    if len(got) != 1:
        names = ", ".join(sorted(path.name for path in (scratch / "got").iterdir()))
        raise SourceInvalid("pip brought no single .tar.gz", names or "nothing", by_hand)
    _verify(got[0], sdist.sha256)
    got[0].replace(target)


def _explained(output: str, subject: str, by_hand: str) -> Exception:
    """Return the error that pip's output tells of."""
    last = "\n    ".join(output.strip().splitlines()[-8:])
    if "DO NOT MATCH THE HASHES" in output:
        hashes = "\n    ".join(re.findall(r"(?:Expected|Got) .*", output))
        return HashMismatch(
            "downloaded sdist is not the pinned one", subject, f"do not use it:\n    {hashes}"
        )
    if "No module named pip" in output:
        return ToolMissing("pip is not installed", sys.executable, f"run `{sys.executable} -m ensurepip`")
    if re.search(r"BackendUnavailable|Cannot import '|metadata-generation-failed", output):
        return ToolMissing(
            "the sdist's build backend does not run here",
            subject,
            f"run `{sys.executable} -m pip install scikit-build-core`, or {by_hand}. pip says:\n    {last}",
        )
    return NetworkUnavailable(
        "sdist could not be downloaded",
        subject,
        "set PIP_INDEX_URL or HTTPS_PROXY so that an index can be reached, or "
        f"{by_hand}. pip says:\n    {last}",
    )


def _verify(archive: Path, sha256: str) -> None:
    with archive.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise HashMismatch(
            "archive is not the pinned one", archive, f"remove it and try again; wanted {sha256}, got {got}"
        )


def _inner(archive: Path, member: tarfile.TarInfo, prefix: PurePosixPath) -> PurePosixPath | None:
    """Return where below ``prefix`` a member belongs, not counting its first component; None if elsewhere."""
    if _leaves(member.name):
        raise _unsafe(archive, member, "a path that leaves its folder")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _unsafe(archive, member, "neither a file nor a folder nor a link")
    if member.islnk() and _leaves(member.linkname):
        raise _unsafe(archive, member, f"a link to {member.linkname}")
    below = PurePosixPath(*PurePosixPath(member.name).parts[1:])
    return below.relative_to(prefix) if below.is_relative_to(prefix) else None


def _leaves(name: str) -> bool:
    """Tell whether a path in an archive leads out of it, on this system or on Windows."""
    path = PureWindowsPath(name)
    return bool(path.drive or path.root or ".." in path.parts)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a file with the archive's time: ninja goes by it."""
    content = tar.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
    os.utime(path, (member.mtime, member.mtime))


def _unsafe(archive: Path, member: tarfile.TarInfo, why: str) -> UnsafeArchive:
    return UnsafeArchive(
        "unsafe archive member",
        f"{member.name} in {archive.name}",
        f"do not use this archive: it holds {why}",
    )
