"""Memory that two processes share, in a file that both map.

``multiprocessing.shared_memory`` is not used: it starts one more process, and that process may remove memory that
another one still uses (https://github.com/python/cpython/issues/82300).
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: The least number of bytes to map.
_LEAST = 1 << 20


class SharedMemory:
    """Memory that is replaced when more is needed; the other process maps the file again."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def grow(self, size: int) -> tuple[Path, int] | None:
        """Make room for ``size`` bytes. Return the path and the size of the file if it is a new one."""
        if self._memory is not None and self._memory.size() >= size:
            return None
        if self._folder is None:
            # A file system in memory. TemporaryDirectory makes a folder that nobody else may open.
            place = Path("/dev/shm")  # noqa: S108
            self._folder = tempfile.TemporaryDirectory(dir=place if place.is_dir() else None)
        path, size = Path(self._folder.name) / "shared", max(size, _LEAST)
        with contextlib.suppress(OSError):
            path.unlink()  # the other side keeps what it has mapped
        with path.open("w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        return path, size

    def bytes(self) -> NDArray[np.uint8]:
        """Return all of it; ``grow`` must have been called."""
        assert self._memory is not None  # noqa: S101 - grow() has mapped it
        return np.frombuffer(self._memory, np.uint8)

    def release(self) -> None:
        """Remove the file; the memory is unmapped when no array refers to it any more."""
        self._memory = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
