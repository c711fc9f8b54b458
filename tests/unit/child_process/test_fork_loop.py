from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import pytest

from harness.child_process.fork_loop import Fork, ForkLoop
from tests.unit.child_process.test_driver import runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends forks with their parent")


class Recorder:
    """A loop, the lines that its forks have sent, and how each has ended. ``run`` returns when all have ended."""

    def __init__(self) -> None:
        self.loop = ForkLoop()
        self.lines: list[bytes] = []
        self.ends: list[tuple[int, str]] = []
        self._ours, self._theirs = socket.socketpair()
        self._running = 0

    def start(
        self, work: Callable[[socket.socket], None], received: Callable[[bytes], None] | None = None
    ) -> Fork:
        """Start a fork; ``received`` is called with its lines, which are kept otherwise."""
        self._running += 1
        return self.loop.start(work, received=received or self.lines.append, ended=self._ended)

    def run(self) -> None:
        """Run the loop until all forks have ended."""
        self.loop.run(self._theirs, self.lines.append)
        self._theirs.close()

    def _ended(self, status: int, printed: str) -> None:
        self.ends.append((status, printed))
        self._running -= 1
        if not self._running:
            self._ours.close()


def echo(link: socket.socket) -> None:
    """Send each line back in capitals, until no more come."""
    with link.makefile("rb") as lines:
        for line in lines:
            link.sendall(line.upper())


def hang(link: socket.socket) -> None:
    """Send the id of this process and go on until it is killed."""
    link.sendall(b"%d\n" % os.getpid())
    time.sleep(600)


def test_lines_of_any_length_go_there_and_back() -> None:
    recorder = Recorder()
    large = b"x" * (1 << 20) + b"\n"  # more than a socket holds
    for _ in range(3):
        fork = recorder.start(echo)
        fork.send(large)
        fork.send(b"y\n")
        fork.finish()
    recorder.run()
    assert sorted(recorder.lines) == [large.upper()] * 3 + [b"Y\n"] * 3
    assert recorder.ends == [(0, "")] * 3


def test_forks_run_at_the_same_time_and_one_is_killed_alone() -> None:
    recorder = Recorder()
    slow = recorder.start(hang)

    def received(line: bytes) -> None:
        recorder.lines.append(line)
        assert runs(slow.pid)
        slow.kill()

    recorder.start(hang, received=lambda line: os.kill(int(line), signal.SIGTERM))
    fork = recorder.start(echo, received=received)
    fork.send(b"done\n")
    fork.finish()
    recorder.run()
    assert b"DONE\n" in recorder.lines
    assert {status for status, _ in recorder.ends} == {-signal.SIGTERM, -signal.SIGKILL, 0}


def test_a_crash_is_told_with_what_that_fork_has_printed() -> None:
    def crash(link: socket.socket) -> None:
        link.sendall(b"before\n")
        os.write(1, b"this is ")
        os.write(2, b"why")
        os.kill(os.getpid(), signal.SIGKILL)

    def fail(_: socket.socket) -> None:
        raise ValueError

    recorder = Recorder()
    recorder.start(crash)
    recorder.start(fail)
    recorder.run()
    assert recorder.lines == [b"before\n"]
    assert sorted(recorder.ends) == [(-signal.SIGKILL, "this is why"), (1, "")]


def test_a_fork_that_has_ended_takes_no_lines() -> None:
    recorder = Recorder()
    fork = recorder.start(lambda link: link.close())
    deadline = time.monotonic() + 30
    while runs(fork.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    fork.send(b"x" * (1 << 20))
    recorder.run()
    assert recorder.ends == [(0, "")]


def test_forks_end_with_their_parent() -> None:
    def parent(link: socket.socket) -> None:
        own = ForkLoop()
        for _ in range(2):
            own.start(hang, received=link.sendall, ended=lambda *_: None)
        own.run(link, link.sendall)

    recorder = Recorder()
    forks: list[int] = []

    def received(line: bytes) -> None:
        forks.append(int(line))
        if len(forks) == 2:
            assert all(runs(pid) for pid in forks)
            outer.kill()

    outer = recorder.start(parent, received)
    recorder.run()
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in forks):
        assert time.monotonic() < deadline
        time.sleep(0.01)
