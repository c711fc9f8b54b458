"""The child's end: keep the pipe to the parent apart from what libraries print."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def reply_channel() -> Iterator[Callable[[bytes], None]]:
    """Yield a function that sends a line to the parent by this process's standard output.

    From then on, anything else that prints to standard output, C code included, prints to standard error.
    """
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)

        def send(line: bytes) -> None:
            pipe.write(line)
            pipe.flush()

        yield send
