"""Open each context in a fork of the worker, and make each picture in a fork of that one, many at a time.

The worker itself only holds the library: it opens nothing, so it cannot crash there, and it is there for all the time
to answer. A context is opened once, by one process, and its pictures share its memory. All start from the same state,
changes that an adapter makes to the context end with the fork, and a crash ends the fork alone. Forking works only
while the library has neither threads nor a device of its own before the first picture, which holds for the CPU
backend on Linux.

A context takes about as much memory as its files have bytes while it is opened, and a merged model has a context of its
own for one picture. So a context waits while those in use have too many bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from harness.cases.shot_request import ShotRequest
from harness.child_process.fork_loop import Fork, ForkLoop
from harness.running.protocol import (
    CANCELLED,
    CLOSING,
    OPENED,
    OPENING,
    WAITING,
    ShotReply,
    numbered,
    split,
)
from harness.running.shot_runner import ShotRunner


class ForkServer:
    """Gives each request to the fork that has its context open, and starts that fork if there is none.

    ``send`` is called with each line for the process that started the worker. The files of the contexts that are in use
    at a time have at most ``room`` bytes together, unless one context has more. Requests for others wait until these
    contexts are not needed any more.
    """

    def __init__(self, runner: ShotRunner, send: Callable[[bytes], None], room: int) -> None:
        self._runner, self._send, self._room = runner, send, room
        self._loop = ForkLoop()
        self._contexts: dict[Hashable, _ContextFork] = {}
        self._waiting: list[tuple[int, bytes]] = []

    def serve(self, requests: IO[bytes]) -> None:
        """Answer requests until no more come; the forks then end with this process."""
        self._loop.run(requests, self._received)

    def _received(self, line: bytes) -> None:
        number, content = split(line)
        if content == CANCELLED:
            self._cancel(number, line)
            return
        if not self._passed_on(number, line):
            self._send(numbered(number, ShotReply(outcome=WAITING).line()))
            self._waiting.append((number, line))

    def _passed_on(self, number: int, line: bytes) -> bool:
        """Give a request to the fork with its context, unless there is no room for that context."""
        request = ShotRequest.from_line(split(line)[1])
        key = self._runner.key(request)
        context = self._contexts.get(key)
        if context is None:
            size = sum(path.stat().st_size for path in request.files.values() if path.exists())
            used = [each.size for each in self._contexts.values() if each.opened]
            if used and sum(used) + size > self._room:
                return False
            context = self._start(key, size)
        context.opened[number] = False
        context.fork.send(line)
        return True

    def _pass_on_waiting(self) -> None:
        """Pass on the requests that no longer have to wait, in their order."""
        waiting, self._waiting = self._waiting, []
        for number, line in waiting:
            if self._passed_on(number, line):
                self._send(numbered(number, ShotReply(outcome=OPENING).line()))
            else:
                self._waiting.append((number, line))

    def _start(self, key: Hashable, size: int) -> _ContextFork:
        # Requests for the same context follow each other, so one that nobody needs now is not needed any more.
        for idle in [key for key, context in self._contexts.items() if not context.opened]:
            self._contexts.pop(idle).fork.finish()
        context = self._contexts[key] = _ContextFork(size)
        context.fork = self._loop.start(
            _ContextServer(self._runner).serve,
            received=partial(self._answered, context),
            ended=partial(self._ended, key, context),
        )
        return context

    def _cancel(self, number: int, line: bytes) -> None:
        """End what is done for a request, and nothing else unless the library hangs while it opens the context."""
        for context in self._contexts.values():
            if number in context.opened:
                if context.opened[number]:
                    context.fork.send(line)
                else:
                    context.fork.kill()

    def _answered(self, context: _ContextFork, line: bytes) -> None:
        number, content = split(line)
        if ShotReply.from_line(content).outcome == OPENED:
            context.opened[number] = True
        else:
            del context.opened[number]
        self._send(line)
        if not context.opened:
            self._pass_on_waiting()

    def _ended(self, key: Hashable, context: _ContextFork, status: int, printed: str) -> None:
        if self._contexts.get(key) is context:
            del self._contexts[key]
            for number in context.opened:
                self._send(numbered(number, ShotReply.crashed(status, printed).line()))
            self._pass_on_waiting()
        elif status:
            self._send(numbered(0, ShotReply.crashed(status, printed, CLOSING).line()))


@dataclass(slots=True)
class _ContextFork:
    """A fork with a context whose files have ``size`` bytes, as the server sees it.

    ``opened`` has the numbers of the requests that it has not answered yet, and whether the context is open for them.
    """

    size: int
    fork: Fork = field(init=False)
    opened: dict[int, bool] = field(default_factory=dict)


class _ContextServer:
    """Opens a context in a fork of the worker and makes each picture in a fork of that one."""

    def __init__(self, runner: ShotRunner) -> None:
        self._runner, self._loop = runner, ForkLoop()
        self._pictures: dict[int, Fork] = {}

    def serve(self, link: socket.socket) -> None:
        """Answer the requests that come through the link until no more come, and close the context."""
        self._loop.run(link, partial(self._received, link))
        self._runner.close()

    def _received(self, link: socket.socket, line: bytes) -> None:
        number, content = split(line)
        if content == CANCELLED:
            if number in self._pictures:
                self._pictures[number].kill()
            return
        request = ShotRequest.from_line(content)
        opening = self._runner.open(request)
        link.sendall(numbered(number, opening.line()))
        if opening.outcome == OPENED:
            self._pictures[number] = self._loop.start(
                partial(self._make, number, request, opening),
                received=link.sendall,
                ended=partial(self._ended, link, number),
            )

    def _make(self, number: int, request: ShotRequest, opening: ShotReply, link: socket.socket) -> None:
        link.sendall(numbered(number, self._runner.make(request, opening).line()))

    def _ended(self, link: socket.socket, number: int, status: int, printed: str) -> None:
        del self._pictures[number]
        if status:
            link.sendall(numbered(number, ShotReply.crashed(status, printed).line()))
