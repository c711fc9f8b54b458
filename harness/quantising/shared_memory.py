"""Memory that two processes share, in a file that both map.

``multiprocessing.shared_memory`` is not used: it starts one more process, and that process may remove memory that
another one still uses (https://github.com/python/cpython/issues/82300).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: A file system in memory.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a folder in it
#: The least number of bytes to map.
_LEAST = 1 << 20


class SharedMemory:
    """Memory that is replaced when more is needed; the other process maps the file again."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def grow(self, size: int) -> tuple[Path, int] | None:
        """Make room for ``size`` bytes. Return the path and the size of the file if it is a new one.

        Raises OSError if neither memory nor the folder for temporary files has that much space.
        """
        if self._memory is not None and self._memory.size() >= size:
            return None
        size = max(size, _LEAST)
        try:
            path = self._create(size, _IN_MEMORY if _IN_MEMORY.is_dir() else None)
        except OSError:  # containers often have only 64 MB of it
            path = self._create(size, None)
        return path, size

    def _create(self, size: int, place: Path | None) -> Path:
        """Map a new file of ``size`` bytes in a temporary folder and return its path."""
        self.release()
        # TemporaryDirectory makes a folder that nobody else may open.
        self._folder = tempfile.TemporaryDirectory(dir=place)
        path = Path(self._folder.name) / "shared"
        with path.open("w+b") as file:
            _reserve(file.fileno(), size, path)
            self._memory = mmap.mmap(file.fileno(), size)
        return path

    def hide(self) -> None:
        """Remove the file's name once the other process has mapped it: nothing is left if this process is killed."""
        if self._folder is not None and os.name == "posix":  # Windows does not remove a file that is mapped
            self._folder.cleanup()
            self._folder = None

    def bytes(self) -> NDArray[np.uint8]:
        """Return all of it; ``grow`` must have been called."""
        assert self._memory is not None  # noqa: S101 - grow() has mapped it
        return np.frombuffer(self._memory, np.uint8)

    def release(self) -> None:
        """Remove the file. The memory is unmapped when neither an array nor the other process uses it any more."""
        self._memory = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _reserve(descriptor: int, size: int, path: Path) -> None:
    """Give a file ``size`` bytes of its disk: writing to a mapped file would kill the process if the disk is full."""
    if not hasattr(os, "posix_fallocate"):  # macOS, Windows
        os.truncate(descriptor, size)
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
