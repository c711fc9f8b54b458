"""Run functions in many forks of this process at the same time, and exchange lines with them.

Only for Linux. ``harness.child_process.fork`` runs functions in forks and waits for them.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from harness.child_process.output_file import OutputFile

#: The option of prctl(2) that sets the signal which a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1
#: The most bytes that are read at a time.
_BLOCK = 1 << 16


class LineReader:
    """The lines that arrive at a descriptor of a pipe or a socket."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._begun = descriptor, b""

    def read(self) -> list[bytes] | None:
        """Return the lines that are complete now, with their newlines; None if nothing more comes.

        Blocks if there is nothing to read.
        """
        try:
            block = os.read(self._descriptor, _BLOCK)
        except ConnectionResetError:  # the other end was closed before it had read everything
            block = b""
        if not block:
            return None
        *lines, self._begun = (self._begun + block).split(b"\n")
        return [line + b"\n" for line in lines]


class Fork:
    """A fork that runs, at its parent's end. ``ForkLoop.start`` makes it."""

    def __init__(
        self, pid: int, link: socket.socket, printed: OutputFile, selector: selectors.BaseSelector
    ) -> None:
        self.pid = pid
        self.link, self.printed = link, printed
        self._selector = selector
        self._unsent, self._finished = bytearray(), False

    def send(self, line: bytes) -> None:
        """Send a line as soon as the fork reads it, without waiting for that."""
        self._unsent += line
        self.flush()

    def flush(self) -> None:
        """Send what the fork takes of the lines that are not sent yet; a fork that has ended takes nothing."""
        try:
            while self._unsent:
                del self._unsent[: self.link.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
        if self._finished and not self._unsent:
            with suppress(OSError):
                self.link.shutdown(socket.SHUT_WR)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        entry = self._selector.get_key(self.link)
        if entry.events != events:
            self._selector.modify(self.link, events, entry.data)

    def finish(self) -> None:
        """Tell the fork, after what is not sent yet, that no more lines come."""
        self._finished = True
        self.flush()

    def kill(self) -> None:
        """Kill the fork and the processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class ForkLoop:
    """Forks of this process that run at the same time, and the calls that follow from what they send.

    A fork gets a process group and a standard error of its own. It is killed when this process ends, even if this
    process is killed. Forks are started while no other thread runs.
    """

    def __init__(self) -> None:
        # Forks would share the state of epoll.
        self._selector = selectors.PollSelector()

    def start(
        self,
        work: Callable[[socket.socket], None],
        *,
        received: Callable[[bytes], None],
        ended: Callable[[int, str], None],
    ) -> Fork:
        """Run ``work`` in a fork and return at once.

        ``work`` gets the fork's end of the link to this process; an exception in it ends the fork with status 1.
        ``run`` calls ``received`` with each line that the fork sends. When the fork has ended, it calls ``ended`` with
        the exit status, negative for a signal as in ``subprocess``, and with the end of what the fork has printed.
        """
        ours, theirs = socket.socketpair()
        printed = OutputFile()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                ours.close()
                self._separate(parent, printed)
                work(theirs)
                status = 0
            finally:
                # Skip all clean-up: files, locks and the library belong to the parent.
                os._exit(status)
        theirs.close()
        with suppress(OSError):  # both processes do this, so that it is done before either goes on
            os.setpgid(pid, pid)
        ours.setblocking(False)
        fork = Fork(pid, ours, printed, self._selector)
        reader = LineReader(ours.fileno())

        def ready(events: int) -> None:
            if events & selectors.EVENT_WRITE:
                fork.flush()
            if events & selectors.EVENT_READ:
                self._read(fork, reader, received, ended)

        self._selector.register(ours, selectors.EVENT_READ, ready)
        return fork

    def run(self, source: socket.socket | IO[bytes], received: Callable[[bytes], None]) -> None:
        """Make the calls until nothing more comes from ``source``; ``received`` is called with each line of it."""
        reader, entry = LineReader(source.fileno()), self._selector.register(source, selectors.EVENT_READ)
        while True:
            for key, events in self._selector.select():
                if key.fd != entry.fd:
                    key.data(events)
                    continue
                lines = reader.read()
                if lines is None:
                    self._selector.unregister(source)
                    return
                for line in lines:
                    received(line)

    def _read(
        self,
        fork: Fork,
        reader: LineReader,
        received: Callable[[bytes], None],
        ended: Callable[[int, str], None],
    ) -> None:
        lines = reader.read()
        if lines is not None:
            for line in lines:
                received(line)
            return
        self._selector.unregister(fork.link)
        fork.link.close()
        status = os.waitstatus_to_exitcode(os.waitpid(fork.pid, 0)[1])
        printed = fork.printed.tail() if status else ""
        fork.printed.close()
        ended(status, printed)

    def _separate(self, parent: int, printed: OutputFile) -> None:
        """Separate a fork, in which this is called, from the process ``parent`` and its other forks."""
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before the call
            os._exit(1)
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        # With copies of the links, this fork would hide it from the parent when another fork ends.
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
