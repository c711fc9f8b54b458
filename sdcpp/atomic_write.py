"""Write a file that the user asked for: it appears complete or not at all, and each failure is an OutputRefused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sdcpp import os_errors
from sdcpp.errors import OutputRefused

#: How much of a file's name the name of its partial file has, in characters: file systems limit a name to 255 bytes.
_SHOWN = 50


def ensure_folder(path: Path) -> Path:
    """Return a folder, creating it and its parents if they do not exist.

    Raises OutputRefused if it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = os_errors.advice(error, "choose another name")
        raise OutputRefused(f"folder cannot be made ({os_errors.reason(error)})", path, advice) from error
    if not os.access(path, os.W_OK):
        raise OutputRefused(
            "folder may not be written to",
            path,
            "choose a folder that you may write to, or change its permissions",
        )
    return path


def write(path: Path, content: str | bytes) -> None:
    """Write a file, creating its folder and the parents of that. Text is written as UTF-8.

    A lone surrogate, which UTF-8 cannot encode, becomes a question mark. Raises OutputRefused.
    """
    ensure_folder(path.parent)
    with atomic_write(path) as partial:
        partial.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)


@contextmanager
def atomic_write(path: Path, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the path of a partial file to write to. It replaces ``path`` when the block ends without an exception.

    Otherwise the partial file is removed, and ``path`` stays as it was. If ``path`` is a symbolic link, its target is
    replaced and the link stays.
    Raises OutputRefused if ``path`` is one of ``inputs``, a folder or a device, or if the system refuses to write.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name[:_SHOWN]}.{os.getpid()}.partial")
    try:
        require_output(path, inputs)
        yield partial
        partial.replace(target)
    except OSError as error:
        named = os_errors.path_of(error)
        if named is not None and Path(named) not in (partial, path, target):
            raise
        advice = os_errors.advice(error, "check that its folder exists")
        raise OutputRefused(f"cannot be written ({os_errors.reason(error)})", path, advice) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def require_output(path: Path, inputs: Sequence[Path]) -> None:
    """Raise OutputRefused if ``path`` exists and must not be replaced by a file, as ``atomic_write`` does.

    It is for work that takes long before the output is written.
    """
    if path.is_dir():
        raise OutputRefused("the output is a folder", path, "name a file in it")
    if not path.exists():
        return
    if not path.is_file():
        raise OutputRefused("the output is a device or a pipe", path, "choose the name of a file")
    for source in inputs:
        if source.exists() and path.samefile(source):
            raise OutputRefused("the output is the input", path, "choose another name")
