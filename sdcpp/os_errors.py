"""Errors of the operating system: which are no bug of this project, and what the user can do about them."""

from __future__ import annotations

import errno
import os

_SPACE = "free some space, or write to another disk"
_PERMISSION = "choose a folder that you may write to, or change its permissions"
_WORKERS = "close other programs, or start fewer workers with --jobs"
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit (ulimit -f), or write to a file system that takes larger files",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the symbolic link that points to itself",
    errno.EIO: "check the disk and its cable, and try again",
    errno.ESTALE: "mount the network file system again, and try again",
    errno.EMFILE: "start fewer workers with --jobs, or raise the limit (ulimit -n)",
    errno.ENFILE: _WORKERS,
    errno.EAGAIN: _WORKERS,
    errno.ENOMEM: _WORKERS,
}


def has_advice(error: OSError) -> bool:
    """Return whether the cause lies outside of this project, such as a full disk, so that the user can remove it."""
    return error.errno in _ADVICE


def advice(error: OSError, otherwise: str) -> str:
    """Return what the user can do about an error, or ``otherwise`` if its number alone does not tell that."""
    return _ADVICE.get(error.errno or 0, otherwise)


def reason(error: OSError) -> str:
    """Return the system's words for an error, such as "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def path_of(error: OSError) -> str | None:
    """Return the path that an error names, or None; an error of writing to an open file names none."""
    name = error.filename
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else None
