"""A worker process from its start to its end: the requests of several threads, and the replies to each."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from harness.cases.shot_request import ShotRequest
from harness.child_process.driver import ChildProcess
from harness.child_process.ended import ChildEnded
from harness.running.protocol import (
    CANCELLED,
    CLOSING,
    OWN_FOLDER,
    PRELIMINARY,
    ShotReply,
    numbered,
    split,
)
from sdcpp import console


class Conversation:
    """The replies to one request. ``StartedWorker.ask`` makes it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._replies: SimpleQueue[ShotReply] = SimpleQueue()

    def add(self, reply: ShotReply) -> None:
        """Add the next reply."""
        self._replies.put(reply)

    def receive(self, timeout: float | None) -> ShotReply:
        """Return the next reply; raises TimeoutError if there is none within so many seconds. None waits for ever."""
        try:
            return self._replies.get(timeout=timeout)
        except Empty:
            raise TimeoutError from None


class StartedWorker:
    """A worker process, and a thread that gives each reply to whoever waits for it.

    ``argv`` are the words of the command and ``env`` are its environment variables. ``ready`` becomes the reply that
    says whether the library is loaded. When the process ends, everything that it has not answered gets a reply with
    the reason.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str]) -> None:
        # A worker is killed when it is no longer needed, so it cannot remove its own files. If this process is killed,
        # the worker reads the end of its requests and removes them.
        self._temporary = tempfile.TemporaryDirectory(prefix="sdcpp-worker-", ignore_cleanup_errors=True)
        self._child = ChildProcess(
            argv, {**env, "TMPDIR": self._temporary.name, OWN_FOLDER: self._temporary.name}
        )
        self.ready: Future[ShotReply] = Future()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # for the members below
        self._conversations: dict[int, Conversation] = {}
        self._end: ShotReply | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process still answers."""
        return self._end is None and self._child.alive

    def ask(self, request: ShotRequest) -> Conversation:
        """Send a request and return the conversation that gets the replies."""
        conversation = Conversation(next(self._numbers))
        with self._lock:
            if self._end is not None:
                conversation.add(self._end)
                return conversation
            self._conversations[conversation.number] = conversation
            self._child.skip_stderr()
        self._send(numbered(conversation.number, request.line()))
        return conversation

    def cancel(self, conversation: Conversation) -> None:
        """End a conversation, and what a worker that forks still does for it."""
        with self._lock:
            self._conversations.pop(conversation.number, None)
        self._send(numbered(conversation.number, CANCELLED))

    def close(self) -> None:
        """Kill the process and its forks, and remove their temporary files."""
        self._child.kill()
        self._reader.join()
        self._child.close()
        self._temporary.cleanup()

    def _send(self, line: bytes) -> None:
        # If nobody reads it, or another thread has closed the pipe, the reader has the reason.
        with contextlib.suppress(ChildEnded, ValueError):
            self._child.send(line)

    def _read(self) -> None:
        """Receive replies until the process ends."""
        try:
            while True:
                number, content = split(self._child.receive())
                self._deliver(number, ShotReply.from_line(content))
        except ChildEnded as ended:
            with self._lock:
                self._end = end = self._reason(ended)
                unanswered = list(self._conversations.values())
        if not self.ready.done():
            self.ready.set_result(end)
        for conversation in unanswered:
            conversation.add(end)

    def _deliver(self, number: int, reply: ShotReply) -> None:
        if not self.ready.done():
            self.ready.set_result(reply)
        elif reply.outcome == CLOSING:
            console.warn(f"the library crashed while it closed a context: {reply.text}")
        else:
            with self._lock:
                conversation = self._conversations.get(number)
                if reply.outcome not in PRELIMINARY:
                    self._conversations.pop(number, None)
            if conversation is not None:  # else it was cancelled
                conversation.add(reply)

    def _reason(self, ended: ChildEnded) -> ShotReply:
        """Return the reply for a process that has ended."""
        printed = self._child.stderr_tail()
        if not self.ready.done() and ended.status > 0:  # Python itself gave up, before it called the library
            last = printed.strip().rpartition("\n")[2]
            return ShotReply(outcome="failed", text=f"the worker did not start ({ended.cause}): {last}")
        return ShotReply.crashed(ended.status, printed)
