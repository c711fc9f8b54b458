"""Create the files of shots in separate processes, because numpy threads contend for the GIL."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from harness.cases.case import Shot
from harness.cases.shot_request import ShotRequest


class Preparer:
    """Makes the requests of ``shots``, and the files they name, in up to ``processes`` forks of this process.

    A context manager. Within its block it is a function that several threads may call: it takes a shot and a seed and
    returns the worker's request (see ``Shot.request``), and it raises what making the files raises. Shots of one name
    are one picture, made from the files of one of them. Enter the block while no other thread runs. On systems other
    than Linux, where forking is unsafe, the calling thread makes the files.

    The processes are forks because shots hold functions, which cannot be pickled. Unlike
    ``harness.child_process.fork.in_fork``, which runs one function and is gone, each serves many shots: opening base
    models and quantisers once for each process saves more time than the fork costs.
    ``concurrent.futures.ProcessPoolExecutor`` is not used, because its processes wait for work for ever if their parent
    is killed. These end when their pipe to the parent closes.
    """

    def __init__(self, shots: Sequence[Shot], processes: int) -> None:
        self._numbers = {shot.name: number for number, shot in enumerate(shots)}
        self._shots = shots
        self._count = min(processes, len(shots)) if sys.platform == "linux" else 0
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._processes: list[tuple[Any, Connection]] = []

    def __enter__(self) -> Preparer:
        if not self._count:
            return self
        context = multiprocessing.get_context("fork")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(self._shots, theirs, ours), daemon=True)
            process.start()
            theirs.close()
            self._processes.append((process, ours))
            self._idle.put(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A later fork holds copies of the pipes to earlier ones, so the last one has to end first.
        for process, pipe in reversed(self._processes):
            pipe.close()
            process.join(timeout=1.0)
            if process.is_alive():
                process.terminate()
                process.join()

    def __call__(self, shot: Shot, seed: int) -> ShotRequest:
        """Return the worker's request for a shot, after making the files it names.

        Raises ChildProcessError if the process that makes them dies, and what ``Shot.request`` raises.
        """
        if not self._processes:
            return shot.request(seed)
        pipe = self._idle.get()
        number = self._numbers[shot.name]
        try:
            pipe.send((number, seed))
            made: ShotRequest | Exception = pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise ChildProcessError(f"the process that makes the files of {shot.name} died") from error
        self._idle.put(pipe)
        if isinstance(made, Exception):
            raise made
        return made


def _serve(shots: Sequence[Shot], pipe: Connection, parents_end: Connection) -> None:
    """Make the files of shots until the parent closes its end of the pipe or dies."""
    parents_end.close()
    # The command's own handler would print a traceback.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        try:
            number, seed = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(shots[number].request(seed))
        except Exception as error:
            pipe.send(error)
