"""Check a file that the user named before it is read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def require_file(path: Path) -> None:
    """Raise OSError unless a path is a file: opening a pipe waits for a writer, and a device may never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", os.fspath(path))
