"""A temporary file for computed tensors, so that each is computed once and none stays in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedRandom
from pathlib import Path

import numpy as np

from harness.formats.tensor import Bytes
from sdcpp import os_errors
from sdcpp.errors import OutputRefused


class ScratchFile:
    """Keeps bytes in a file until they are needed."""

    def __init__(self, file: BufferedRandom, target: Path) -> None:
        self._file, self._target, self._end = file, target, 0

    def keep(self, data: Bytes) -> Callable[[], Bytes]:
        """Write bytes to the file and return a function that reads them again. Raises OutputRefused."""
        at = self._end
        try:
            self._file.seek(at)
            self._file.write(data.data)
            self._file.flush()
        except OSError as error:
            raise _refused(self._target, error) from error
        self._end += data.nbytes
        return partial(self._read, at, data.nbytes)

    def _read(self, at: int, count: int) -> Bytes:
        data = np.empty(count, np.uint8)
        self._file.seek(at)
        read = self._file.readinto(data.data)
        assert read == count  # noqa: S101 - the file is as long as it was written
        return data


@contextmanager
def scratch_file(target: Path) -> Iterator[ScratchFile]:
    """Yield a temporary file beside ``target``, which has the space that ``target`` will need.

    It has no name where the system allows that, and is removed at the end. Raises OutputRefused.
    """
    try:
        file = tempfile.TemporaryFile(dir=target.parent)  # noqa: SIM115 - closed below
    except OSError as error:
        raise _refused(target, error) from error
    with file:
        yield ScratchFile(file, target)


def _refused(target: Path, error: OSError) -> OutputRefused:
    advice = os_errors.advice(error, "check that its folder exists")
    return OutputRefused(f"cannot be written ({os_errors.reason(error)})", target, advice)
