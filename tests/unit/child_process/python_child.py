"""A child process that runs a line of Python, for the tests of child processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from harness.child_process.driver import ChildProcess


@contextlib.contextmanager
def child(code: str) -> Iterator[ChildProcess]:
    """Run a program of Python in a child process and close it at the end."""
    with contextlib.closing(ChildProcess([sys.executable, "-c", code], env={})) as process:
        yield process
