"""What a user asks to be written: a file appears whole or not at all, and what keeps it from that is said."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sdcpp.errors import OutputRefused

_ADVICE = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EFBIG: "raise the limit (ulimit -f), or write to a file system that takes larger files",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
}


def ensure_folder(path: Path) -> Path:
    """Return a folder, made with those above it if it is not there.

    Raises OutputRefused if it cannot be made, or nothing can be put in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another name")
        raise OutputRefused(f"folder cannot be made ({error.strerror})", path, advice) from error
    if not os.access(path, os.W_OK):
        raise OutputRefused("folder may not be written to", path, _ADVICE[errno.EACCES])
    return path


def write(path: Path, content: str | bytes) -> None:
    """Write a file, with the folders above it; text as UTF-8, with a question mark for what that cannot say.

    Raises OutputRefused.
    """
    ensure_folder(path.parent)
    with atomic_write(path) as partial:
        partial.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)


@contextmanager
def atomic_write(path: Path, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the path to write to; it becomes ``path`` if the block ends well and disappears otherwise.

    Raises OutputRefused if ``path`` is one of ``inputs`` or if the system refuses to write.
    """
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputRefused("the output is the input", path, "choose another name")
    if path.is_dir():
        raise OutputRefused("the output is a folder", path, "name a file in it")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (partial, path):
            raise
        advice = _ADVICE.get(error.errno or 0, "does its folder exist?")
        raise OutputRefused(f"cannot be written ({error.strerror})", path, advice) from error
    finally:
        with contextlib.suppress(OSError):  # it could not be made in the first place
            partial.unlink(missing_ok=True)
