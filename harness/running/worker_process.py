"""The parent's side of a worker: send requests, and turn crashes and timeouts into replies."""

from __future__ import annotations

import os
import sys
import threading

from harness.cases.shot_request import ShotRequest
from harness.child_process.memory import limit_address_space
from harness.running.protocol import FORKS, OPENED, OPENING, READY, WAITING, ShotReply
from harness.running.started_worker import StartedWorker
from sdcpp.binding.build_folder import Build
from sdcpp.building import sanitizer
from sdcpp.machine.backends import get as get_backend
from sdcpp.process import cores

#: The seconds that each of these may take: starting a worker, opening a base model, making a picture.
TIMEOUT = 300.0
#: The bytes of the model files that a worker that forks may have open at a time, for each core and at least. A context
#: takes about so much memory while it is opened, and half of it later. On two cores there is room for three contexts of
#: sd1-tiny: the workers then take 2.7 GB for the quick matrix of 2025-12, instead of 6.5 GB without a limit, and as
#: long as then. With room for two they take a fifth longer.
ROOM_PER_CORE, LEAST_ROOM = 1_600_000_000, 3_200_000_000
#: glibc's allocator fills memory that is freed with this byte, and memory that is allocated with its complement. What a
#: library reads before it writes it is then the same each time, and the same for two builds.
PERTURB, PERTURB_BYTE = "MALLOC_PERTURB_", "165"


class WorkerProcess:
    """A worker process for one build and backend, which is started when it is needed and again after it died.

    ``threads`` is the library's number of threads. ``memory`` limits the address space to so many bytes, on Linux and
    for builds without sanitizers, which reserve terabytes of it. It is for malformed files, which make a library read
    what it has not written, so the memory is also filled (see PERTURB_BYTE), unless the environment says otherwise.
    That takes a third of a second for a picture, so other workers do without.

    With the CPU backend on Linux the worker ``forks``: several threads may have pictures made at the same time, each in
    a process of its own. Elsewhere, and with ``keeps_state``, it makes all pictures in one process, one after the
    other, so a picture starts from what the picture before left in the context.
    """

    def __init__(
        self,
        build: Build,
        backend: str,
        threads: int,
        memory: int | None = None,
        *,
        keeps_state: bool = False,
    ) -> None:
        self.forks = backend == "cpu" and sys.platform == "linux" and not keeps_state
        self._build, self._backend, self._threads = build, backend, threads
        self._memory = None if sanitizer.is_sanitized(build) else memory
        self._lock = threading.Lock()
        self._started: StartedWorker | None = None

    def begin(self) -> StartedWorker:
        """Start the process unless it runs; it loads the library while the caller does something else."""
        with self._lock:
            if self._started is None or not self._started.alive:
                if self._started is not None:
                    self._started.close()
                self._started = self._start()
            return self._started

    def request(self, request: ShotRequest, timeout: float) -> ShotReply:
        """Return the reply to a request; the outcome is "crashed", "hung" or "failed" if the worker gives none.

        ``timeout`` is the seconds that the picture may take. Starting the worker and opening the base model take
        longer on a busy machine; each may take TIMEOUT. A worker that is hung is killed, or only the fork that is.
        """
        worker, conversation, limit = self.begin(), None, TIMEOUT
        try:
            ready = worker.ready.result(limit)
            if ready.outcome != READY:
                self._discard(worker)
                return ready
            conversation = worker.ask(request)
            reply = conversation.receive(limit)
            if reply.outcome == WAITING:
                # For pictures of other requests, whose time is limited.
                reply = conversation.receive(None)
            if reply.outcome == OPENING:
                reply = conversation.receive(limit)
            if reply.outcome == OPENED:
                limit = timeout
                reply = conversation.receive(limit)
        except TimeoutError:
            if conversation is not None and self.forks:
                worker.cancel(conversation)
            else:
                self._discard(worker)
            return ShotReply(outcome="hung", text=f"no answer within {limit:g} s")
        return reply

    def close(self) -> None:
        """Kill the process and its forks, and remove their temporary files."""
        with self._lock:
            worker, self._started = self._started, None
        if worker is not None:
            worker.close()

    def _start(self) -> StartedWorker:
        worker = StartedWorker(
            [
                sys.executable,
                "-m",
                "harness.running.worker",
                self._build.folder,
                self._backend,
                str(self._threads),
                *((FORKS, str(max(ROOM_PER_CORE * cores(), LEAST_ROOM))) if self.forks else ()),
            ],
            {
                **get_backend(self._backend).environment(),
                # ggml would start a debugger on itself to print the backtrace of an assertion.
                "GGML_NO_BACKTRACE": "1",
                "PYTHONUNBUFFERED": "1",
                **({PERTURB: os.environ.get(PERTURB, PERTURB_BYTE)} if self._memory else {}),
                **sanitizer.environment(self._build),
            },
        )
        if self._memory:
            limit_address_space(worker.pid, self._memory)
        return worker

    def _discard(self, worker: StartedWorker) -> None:
        """Close a worker, unless another thread has started another one since."""
        with self._lock:
            if self._started is worker:
                self._started = None
        worker.close()
