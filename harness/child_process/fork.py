"""Run one function in a fork of this process, which may crash."""

from __future__ import annotations

import os
from collections.abc import Callable

from harness.child_process.ended import ChildEnded


def in_fork(work: Callable[[], bytes]) -> bytes:
    """Return what ``work`` returns in a fork of this process; raises ChildEnded if the fork crashes.

    An exception in ``work`` ends the fork with status 1. Only for systems that have ``os.fork``, and while no other
    thread runs.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(work())
            status = 0
        finally:
            # Skip all clean-up: files, locks and the library belong to the parent.
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        output = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise ChildEnded(status)
    return output
