"""The parent's end: start a child process, send it lines, receive lines, and find out why it died."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from harness.child_process.ended import ChildEnded
from harness.child_process.output_file import OutputFile
from sdcpp.process import start


class ChildProcess:
    """A program that reads requests from standard input and writes replies to standard output, one line each.

    Standard error goes to a temporary file. The child leads a session, so that the processes it starts are killed with
    it. No thread runs between two calls, so the parent may fork.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str]) -> None:
        self._stderr = OutputFile()
        self._process = start(argv, env=env, stderr=self._stderr.fileno())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    def send(self, line: bytes) -> None:
        """Send a request, which ends with a newline; raises ChildEnded if nobody reads it."""
        requests = _pipe(self._process.stdin)
        try:
            requests.write(line)
            requests.flush()
        except BrokenPipeError:
            raise ChildEnded(self._process.wait()) from None

    def receive(self, timeout: float | None = None) -> bytes:
        """Return the next reply.

        After ``timeout`` seconds the child and its processes are killed. Raises TimeoutError in that case, and
        ChildEnded if the child ended before the reply was complete.
        """
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.kill()

        timer = threading.Timer(timeout, expire) if timeout is not None else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            line = _pipe(self._process.stdout).readline()
        finally:
            if timer:
                timer.cancel()
        if line.endswith(b"\n"):
            return line
        status = self._process.wait()
        if expired.is_set():
            raise TimeoutError(f"no answer within {timeout:g} s")
        raise ChildEnded(status)

    def stderr_tail(self) -> str:
        """Return the end of what the child has written to standard error since ``skip_stderr``."""
        return self._stderr.tail()

    def skip_stderr(self) -> None:
        """Leave what is in standard error now out of ``stderr_tail``."""
        self._stderr.skip()

    def close(self) -> None:
        """Kill the child and the processes it started, and close the pipes."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a request may still be in the buffer
                _pipe(pipe).close()
        self._stderr.close()

    def kill(self) -> None:
        """Kill the child and the processes it started; whoever waits in ``receive`` then gets ChildEnded."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - sdcpp.process.start makes pipes of both
    return pipe
