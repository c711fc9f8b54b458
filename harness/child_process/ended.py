"""The exception for a child process that ended before it replied."""

from __future__ import annotations

import signal


class ChildEnded(Exception):
    """A child process or a fork ended without a complete reply.

    ``status`` is its exit status, negative for a signal as in ``subprocess``. ``cause`` says the same in words:
    "SIGABRT" or "exit status 3".
    """

    def __init__(self, status: int) -> None:
        self.status = status
        self.cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        super().__init__(f"the child process ended: {self.cause}")
