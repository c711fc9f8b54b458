"""Processes that make the files of shots: numpy's work in threads of one process waits for one lock."""

from __future__ import annotations

import multiprocessing
import queue
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from harness.cases.case import Shot


class Preparer:
    """Makes the requests of ``shots``, and the files they name, in ``processes`` copies of this process.

    A context manager and, inside, a function that threads may call: a shot and a seed go in, the worker's request
    comes out (see ``Shot.request``). What making raises is raised there. The copies are forked, because shots hold
    functions, which no pickle carries, and have to be made while no other thread runs. They end with this process.
    Where the system does not fork safely, files are made in the calling thread.
    """

    def __init__(self, shots: Sequence[Shot], processes: int) -> None:
        self._numbers = {shot: number for number, shot in enumerate(shots)}
        self._shots = shots
        self._processes = min(processes, len(shots)) if sys.platform == "linux" else 0
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._copies: list[tuple[Any, Connection]] = []

    def __enter__(self) -> Preparer:
        fork = multiprocessing.get_context("fork") if self._processes else None
        for _ in range(self._processes):
            assert fork is not None  # noqa: S101 - there are processes to be forked
            ours, theirs = fork.Pipe()
            copy = fork.Process(target=_serve, args=(self._shots, theirs, ours), daemon=True)
            copy.start()
            theirs.close()
            self._copies.append((copy, ours))
            self._free.put(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The last one holds the ends of those before it, so that it has to end first.
        for copy, ours in reversed(self._copies):
            ours.close()
            copy.join(timeout=1.0)
            if copy.is_alive():
                copy.terminate()
                copy.join()

    def __call__(self, shot: Shot, seed: int) -> dict[str, Any]:
        """Return the worker's request for a shot; the files it names exist."""
        if not self._copies:
            return shot.request(seed)
        copy = self._free.get()
        try:
            copy.send((self._numbers[shot], seed))
            made = copy.recv()
        except EOFError as error:
            raise ChildProcessError(
                f"the process that makes files died making those of {shot.name}"
            ) from error
        self._free.put(copy)
        if isinstance(made, BaseException):
            raise made
        request: dict[str, Any] = made
        return request


def _serve(shots: Sequence[Shot], orders: Connection, other_end: Connection) -> None:
    """Answer orders until the other end is closed, by will or because its process is no more."""
    other_end.close()
    while True:
        try:
            number, seed = orders.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            orders.send(shots[number].request(seed))
        except Exception as error:
            orders.send(error)
