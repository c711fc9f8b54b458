"""A file for what a child process prints, which explains why the process ended."""

from __future__ import annotations

import os
import tempfile

#: Bytes at the end of the file that are kept to explain a death.
_TAIL = 20_000


class OutputFile:
    """A temporary file for what a process prints.

    Unlike a pipe, the file never blocks the process, and it can be read after the process has died. It has no name in
    any folder, so nothing is left of it if this process is killed.
    """

    def __init__(self) -> None:
        # Opened for appending: both processes share the file position, and reading moves it.
        self._file = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed in close()
        self._start = 0

    def fileno(self) -> int:
        """Return the descriptor that the process gets as its standard error."""
        return self._file.fileno()

    def skip(self) -> None:
        """Leave what is in the file now out of ``tail``."""
        self._start = self._file.seek(0, os.SEEK_END)

    def tail(self) -> str:
        """Return the end of what was printed since ``skip``."""
        self._file.seek(max(self._start, self._file.seek(0, os.SEEK_END) - _TAIL))
        return self._file.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._file.close()
