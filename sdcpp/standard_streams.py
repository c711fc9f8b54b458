"""Make standard output and standard error safe: no character and no failing write ends a command with a traceback."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from sdcpp import os_errors
from sdcpp.errors import StandardOutputLost

#: ASCII for characters that the encoding of a stream lacks. All others are shown as escapes, such as \xe9.
_ASCII = {
    "Δ": "d",
    "Σ": "sum",
    "×": "x",
    "·": "*",
    "⊗": "(x)",
    "‖": "||",
    "⟨": "<",
    "⟩": ">",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "²": "^2",
    "ᵀ": "^T",
    "✓": "+",
    "✗": "x",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}
_HANDLER = "sdcpp-ascii"


def _ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return ASCII for the characters that could not be encoded, and where to go on; see codecs.register_error."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(
        _ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in characters
    ), error.end


codecs.register_error(_HANDLER, _ascii)


class _Stream:
    """A text stream that takes every character and whose writes do not fail.

    ``lost`` tells why something was not written, or is None. ``stream`` is None if the stream is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def is_open(self) -> bool:
        """Whether the process was started with this stream."""
        return self._stream is not None

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write text, with ASCII for the characters that the encoding lacks, and return its length."""
        shown = text.encode(self.encoding, _HANDLER).decode(self.encoding)
        self._attempt(lambda stream: stream.write(shown))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self._attempt(lambda stream: stream.flush())

    def _attempt(self, work: Callable[[TextIO], object]) -> None:
        if self._stream is None or self.lost:
            return
        try:
            work(self._stream)
        except OSError as error:
            self.lost = error
            # What is still buffered goes to the null device, or Python would try to write it again when it ends.
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)


@contextmanager
def guarded() -> Iterator[Callable[[], None]]:
    """Guard sys.stdout and sys.stderr for the block, and yield a function that flushes and checks standard output.

    A character that a stream cannot encode is shown in ASCII. A write that fails raises nothing, so that a command
    still completes its files; instead, the function raises StandardOutputLost if anything was lost, or will be because
    standard output is closed. Lost messages are no error. Streams that are closed are opened on the null device, or
    the next files that are opened would take their places.
    """
    results, messages = _Stream(sys.stdout), _Stream(sys.stderr)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # returns the lowest free descriptor, which is this one

    def check() -> None:
        results.flush()
        if not results.is_open:
            reason, advice = "it is closed", "leave it open, or redirect it to a file"
        elif isinstance(results.lost, BrokenPipeError):
            reason = os_errors.reason(results.lost)
            advice = (
                "the program that reads them has ended; let it read all of them, or redirect them to a file"
            )
        elif results.lost:
            reason = os_errors.reason(results.lost)
            advice = os_errors.advice(results.lost, "redirect it to a file")
        else:
            return
        raise StandardOutputLost(f"results could not be written ({reason})", "standard output", advice)

    with redirect_stdout(cast(TextIO, results)), redirect_stderr(cast(TextIO, messages)):
        try:
            yield check
        finally:
            messages.flush()
