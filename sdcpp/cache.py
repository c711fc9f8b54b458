"""Where fetched and built things lie, and how an entry comes to be there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from sdcpp import console
from sdcpp.errors import CacheBusy

#: The environment variable that moves the cache.
VARIABLE = "SDCPP_CACHE"
#: How long to wait for another process that is making the same entry, in seconds: longer than a slow build.
PATIENCE = 3600.0
#: For how many seconds an entry may be in use after it was asked for.
IN_USE = 900.0
#: Descriptors of the locks that this process holds.
_held: set[int] = set()


def root() -> Path:
    """Return the cache folder: ``$SDCPP_CACHE`` or the platform's own place for caches."""
    chosen = os.environ.get(VARIABLE)
    return (
        Path(chosen).expanduser().resolve() if chosen else platformdirs.user_cache_path("sdcpp-lora-harness")
    )


@contextmanager
def lock(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock that belongs to ``path``; the operating system frees it if the process dies.

    Programs started meanwhile inherit it (see ``held``), so that a compiler that outlives a killed process
    keeps others away until it ends, too.
    Raises CacheBusy when another process keeps it for more than ``patience`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.note(f"waiting for another process that is working on {path.name}")
        try:
            lock.acquire(timeout=patience)
        except Timeout as error:
            raise CacheBusy(
                "cache entry is held by another process",
                path,
                f"wait for it, end it, or use another cache with {VARIABLE}=FOLDER",
            ) from error
    descriptor = lock._context.lock_file_fd
    if descriptor is not None:
        _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor is not None:
            _held.discard(descriptor)
        lock.release()


def lock_descriptors() -> tuple[int, ...]:
    """Return the descriptors that a child process is to inherit; none on Windows, which cannot."""
    return tuple(_held) if os.name == "posix" else ()


def remove(entry: Path) -> None:
    """Remove an entry, a folder, so that none is left under its name even if this process is killed halfway.

    What then is left is removed when the entry is made again. Its lock goes too; another process may be doing the same.
    """
    going = entry.with_name(f".{entry.name}.removed.partial")
    shutil.rmtree(going, ignore_errors=True)
    with suppress(FileNotFoundError):
        entry.replace(going)
    shutil.rmtree(going, ignore_errors=True)
    entry.with_name(entry.name + ".lock").unlink(missing_ok=True)


def evict_oldest(entry: Path, limit: int) -> None:
    """Note that an entry, a folder, is in use, and remove those beside it that were used longest ago.

    What stays has no more than ``limit`` bytes, or was used within the last IN_USE seconds, the entry itself included:
    whoever used it may be about to read it. Another process may be doing the same.
    """
    latest = time.time_ns() - int(IN_USE * 1e9)
    with suppress(FileNotFoundError):
        os.utime(entry)
    found = []
    for path in entry.parent.iterdir():
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.name.startswith("."):
                size = sum(file.stat().st_size for file in path.iterdir())
                found.append((path.stat().st_mtime_ns, size, path))
    room = limit
    for used, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0 and used < latest:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime_ns == used:
                    remove(path)


def get_or_create(path: Path, make: Callable[[Path], None]) -> Path:
    """Return ``path``, calling ``make(temporary folder)`` first if it is not there yet.

    The folder is filled under another name and renamed when complete, so a killed process leaves no half
    entry; a second process waits for the first and finds its result.
    """
    if path.exists():
        return path
    with lock(path):
        if path.exists():
            return path
        for stale in path.parent.glob(f".{path.name}.*.partial"):
            shutil.rmtree(stale)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            make(partial)
            partial.replace(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return path
