"""The cache folder. An entry in it is complete or absent, and one process at a time creates it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from sdcpp import console, os_errors
from sdcpp.errors import CacheBusy, CacheUnusable

#: The environment variable that names another cache folder.
VARIABLE = "SDCPP_CACHE"
_NAME = "sdcpp-lora-harness"
_REMEDY = f"use another cache with {VARIABLE}=FOLDER"
#: Adapter files, ordinary and malformed.
ADAPTERS = "adapters"
#: Finished builds of the library.
BUILDS = "builds"
#: Source archives from a package registry.
DOWNLOADS = "downloads"
#: Logs of exceptions that are bugs of this project.
LOGS = "logs"
#: Base models into which an adapter is merged.
MERGED = "merged"
#: Base models.
MODELS = "models"
#: Shaders that GPU drivers have compiled.
SHADERS = "shaders"
#: Source trees of revisions, each with the workspace in which it is built.
TREES = "trees"
#: Copies of upstream's repositories, and the commits of upstream that were judged.
UPSTREAM = "upstream"
#: How many seconds to wait for another process that is creating the same entry: longer than a slow build.
PATIENCE = 3600.0
#: For how many seconds after its last use an entry is not evicted.
IN_USE = 900.0


class _Held(threading.local):
    """Descriptors of the locks that a thread holds. Another thread may close its own at any time."""

    def __init__(self) -> None:
        self.descriptors: set[int] = set()


_held = _Held()


def root() -> Path:
    """Return the cache folder: ``$SDCPP_CACHE``, or the folder for caches of this platform.

    Raises CacheUnusable if its path cannot be a folder's.
    """
    chosen = os.environ.get(VARIABLE)
    try:
        path = Path(chosen).expanduser().resolve() if chosen else platformdirs.user_cache_path(_NAME)
        if not path.is_absolute():  # what platformdirs returns where the user has no home folder
            raise RuntimeError("there is no home folder")
        if not path.is_dir():
            for part in (path, *path.parents):
                if part.exists() and not part.is_dir():
                    raise CacheUnusable(
                        "cache folder cannot be made, because this is not a folder", part, _REMEDY
                    )
    except RuntimeError as error:  # also a symbolic link to itself
        raise CacheUnusable(f"cache folder is unknown ({error})", chosen or "~", _REMEDY) from error
    except OSError as error:
        raise _unusable(error, chosen or "~") from error
    return path


@contextmanager
def lock(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of ``path``. The operating system releases it if the process dies.

    Programs that the same thread starts meanwhile inherit it (``lock_descriptors``): a compiler that outlives a killed
    process holds the lock until it ends, too.
    Raises CacheBusy if another process holds it for more than ``patience`` seconds, and CacheUnusable.
    """
    descriptors: list[int] = []
    file_lock = FileLock(path.with_name(path.name + ".lock"), on_acquired=descriptors.append)
    with _refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file_lock.acquire(timeout=0)
        except Timeout:
            console.note(f"waiting for another process that is working on {path.name}")
            try:
                file_lock.acquire(timeout=patience)
            except Timeout as error:
                raise CacheBusy(
                    "cache entry is locked by another process",
                    path,
                    f"wait for that process, end it, or {_REMEDY}",
                ) from error
    _held.descriptors.update(descriptors)
    try:
        yield
    finally:
        _held.descriptors.difference_update(descriptors)
        file_lock.release()


def lock_descriptors() -> tuple[int, ...]:
    """Return the descriptors that a child process of this thread has to inherit; none on Windows, which cannot."""
    return tuple(_held.descriptors) if os.name == "posix" else ()


@contextmanager
def _refusals(entry: Path) -> Iterator[None]:
    """Turn what the operating system refuses below the folder of ``entry`` into CacheUnusable."""
    try:
        yield
    except NotImplementedError as error:  # filelock, where the file system has no locks
        raise CacheUnusable(f"cache entry cannot be locked ({error})", entry, _REMEDY) from error
    except OSError as error:
        named = Path(os_errors.path_of(error) or entry)
        inside = named.is_relative_to(entry.parent) or entry.is_relative_to(named)
        expected = os_errors.has_advice(error) or isinstance(error, (FileExistsError, NotADirectoryError))
        if not (inside and expected):
            raise
        raise _unusable(error, named) from error


def _unusable(error: OSError, subject: object) -> CacheUnusable:
    advice = f"{os_errors.advice(error, 'check its folder')}, or {_REMEDY}"
    return CacheUnusable(f"cache cannot be used ({os_errors.reason(error)})", subject, advice)


def remove(entry: Path) -> None:
    """Remove an entry, a folder, and its lock, so that no half entry is left if this process is killed meanwhile.

    What is left then has another name and is removed when the entry is created again. Another process may remove the
    same entry at the same time.
    """
    going = entry.with_name(f".{entry.name}.removed.partial")
    shutil.rmtree(going, ignore_errors=True)
    with suppress(FileNotFoundError):
        entry.replace(going)
    shutil.rmtree(going, ignore_errors=True)
    entry.with_name(entry.name + ".lock").unlink(missing_ok=True)


def evict_oldest(entry: Path, limit: int) -> None:
    """Mark an entry, a folder, as used now, and remove those beside it that were used longest ago.

    The entries that stay have at most ``limit`` bytes together, or were used within the last IN_USE seconds: a process
    may be about to read them. Another process may evict entries at the same time.
    """
    latest = time.time_ns() - int(IN_USE * 1e9)
    with suppress(OSError):  # a cache that is read-only is not evicted either
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
    """Return ``path``, a folder; if it does not exist, ``make`` is called with a temporary folder to fill first.

    The temporary folder is renamed when it is complete, so that a killed process leaves no half entry. A second
    process waits for the first one and returns its result. Raises CacheBusy and CacheUnusable.
    """
    if path.exists():
        return path
    with lock(path), _refusals(path):
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
