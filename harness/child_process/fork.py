"""Run functions in forks of this process, which may crash."""

from __future__ import annotations

import os
from collections.abc import Callable

from harness.child_process.ended import ChildEnded


def in_fork(work: Callable[[], bytes]) -> bytes:
    """Return what ``work`` returns in a fork of this process; raises ChildEnded if the fork crashes.

    An exception in ``work`` ends the fork with status 1. Only for systems that have ``os.fork``, and while no other
    thread runs.
    """
    return in_forks(lambda _: work(), 1)[0]


def in_forks(work: Callable[[int], bytes], count: int) -> list[bytes]:
    """Return what ``work`` returns for 0, 1, ... ``count`` - 1, each in a fork of its own at the same time.

    Raises ChildEnded, after all forks have ended, if one crashes. Otherwise like ``in_fork``.
    """
    started = [_start(work, number) for number in range(count)]
    outputs, failed = [], 0
    for child, reading in started:
        with os.fdopen(reading, "rb") as pipe:
            outputs.append(pipe.read())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        failed = failed or status
    if failed:
        raise ChildEnded(failed)
    return outputs


def _start(work: Callable[[int], bytes], number: int) -> tuple[int, int]:
    """Fork, and return the process and the pipe that it writes to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(work(number))
            status = 0
        finally:
            # Skip all clean-up: files, locks and the library belong to the parent.
            os._exit(status)
    os.close(writing)
    return child, reading
