"""The worker's program, driven line by line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from harness.child_process.driver import ChildProcess
from harness.running.protocol import CANCELLED, FORKS, READY, ShotReply, numbered, split
from sdcpp.binding.build_folder import Build


class Program:
    """A worker whose library is loaded. Requests get the numbers 1, 2, ..."""

    def __init__(self, process: ChildProcess) -> None:
        self.process = process
        self._asked = 0

    def ask(self, request: ShotRequest) -> None:
        """Send a request."""
        self._asked += 1
        self.process.send(numbered(self._asked, request.line()))

    def cancel(self, number: int) -> None:
        """Say that nobody waits for the reply to a request."""
        self.process.send(numbered(number, CANCELLED))

    def reply(self) -> tuple[int, ShotReply]:
        """Return the next reply and the number of its request."""
        number, line = split(self.process.receive(60))
        return number, ShotReply.from_line(line)

    def outcomes(self, count: int) -> list[tuple[int, str]]:
        """Return the numbers and the outcomes of so many replies."""
        return [(number, reply.outcome) for number, reply in (self.reply() for _ in range(count))]


@contextlib.contextmanager
def program(build: Build, *, forks: bool, room: int = 1 << 20) -> Iterator[Program]:
    """Run the program and kill it at the end. If it ``forks``, the files of its contexts may have ``room`` bytes."""
    words: list[str | Path] = [sys.executable, "-m", "harness.running.worker", build.folder, "cpu", "1"]
    with contextlib.closing(
        ChildProcess([*words, *((FORKS, str(room)) if forks else ())], env={})
    ) as process:
        made = Program(process)
        assert made.outcomes(1) == [(0, READY)]
        yield made
