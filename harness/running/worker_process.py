"""The parent's side of a worker: send requests, and turn crashes and timeouts into replies."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace

from harness.cases.shot_request import ShotRequest
from harness.child_process.driver import ChildProcess
from harness.child_process.ended import ChildEnded
from harness.child_process.memory import limit_address_space
from harness.running.crash_report import crash_report
from harness.running.protocol import CLOSING, KEEPS_STATE, OPENED, READY, STAGES, ShotReply
from sdcpp.binding.build_folder import Build
from sdcpp.building import sanitizer
from sdcpp.machine.backends import get as get_backend

#: The seconds that each of these may take: starting a worker, opening a base model, making a picture.
TIMEOUT = 300.0
#: glibc's allocator fills memory that is freed with this byte, and memory that is allocated with its complement. What a
#: library reads before it writes it is then the same each time, and the same for two builds.
PERTURB, PERTURB_BYTE = "MALLOC_PERTURB_", "165"


class WorkerProcess:
    """A worker process for one build and backend, which is started when it is needed and again after it died.

    ``threads`` is the library's number of threads. ``memory`` limits the address space to so many bytes, on Linux and
    for builds without sanitizers, which reserve terabytes of it. It is for malformed files, which make a library read
    what it has not written, so the memory is also filled (see PERTURB_BYTE), unless the environment says otherwise.
    That takes a third of a second for a picture, so other workers do without.

    With ``keeps_state`` the worker makes all pictures in one process and never forks, so a picture starts from what the
    picture before left in the context.
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
        self._options = (KEEPS_STATE,) if keeps_state else ()
        self._build, self._backend, self._threads = build, backend, threads
        self._memory = None if sanitizer.is_sanitized(build) else memory
        self._child: ChildProcess | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._ready = False

    def begin(self) -> ChildProcess:
        """Start the process unless it runs; it loads the library while the caller does something else."""
        if self._child is not None and self._child.alive:
            return self._child
        self.close()
        self._temporary = tempfile.TemporaryDirectory(prefix="sdcpp-worker-")
        self._child = ChildProcess(
            [
                sys.executable,
                "-m",
                "harness.running.worker",
                self._build.folder,
                self._backend,
                str(self._threads),
                *self._options,
            ],
            env={
                **get_backend(self._backend).environment(),
                # ggml would start a debugger on itself to print the backtrace of an assertion.
                "GGML_NO_BACKTRACE": "1",
                "PYTHONUNBUFFERED": "1",
                # A worker is killed when it is no longer needed, so it cannot remove its own files.
                "TMPDIR": self._temporary.name,
                **({PERTURB: os.environ.get(PERTURB, PERTURB_BYTE)} if self._memory else {}),
                **sanitizer.environment(self._build),
            },
        )
        if self._memory:
            limit_address_space(self._child.pid, self._memory)
        return self._child

    def request(self, request: ShotRequest, timeout: float) -> ShotReply:
        """Return the reply to a request; the outcome is "crashed", "hung" or "failed" if the worker gives none.

        ``timeout`` is the seconds that the picture may take. Starting the worker and opening the base model take
        longer on a busy machine; each may take TIMEOUT. A worker that is hung is killed.
        """
        child = self.begin()
        stage = ""
        try:
            if not self._ready:
                reply = ShotReply.from_line(child.receive(TIMEOUT))
                if reply.outcome != READY:
                    self.close()
                    return reply
                self._ready = True
            child.skip_stderr()
            child.send(request.line())
            while True:
                reply = ShotReply.from_line(child.receive(timeout if stage == OPENED else TIMEOUT))
                if reply.outcome not in STAGES:
                    break
                stage = reply.outcome
        except TimeoutError as error:
            reply = ShotReply(outcome="hung", text=str(error))
        except ChildEnded as ended:
            if not self._ready and ended.status > 0:  # Python itself gave up, before it called the library
                last = child.stderr_tail().strip().rpartition("\n")[2]
                reply = ShotReply(outcome="failed", text=f"the worker did not start ({ended.cause}): {last}")
            else:
                reply = ShotReply(outcome="crashed", signal=ended.cause)
        if reply.outcome == "crashed":
            text = crash_report(child.stderr_tail()) or f"ended by {reply.signal}"
            reply = replace(reply, text=text)
        # After a crash in a fork the worker goes on, with its base model open.
        if not child.alive:
            self.close()
        return replace(reply, while_closing=stage == CLOSING)

    def close(self) -> None:
        """Kill the process and its forks, and remove their temporary files."""
        child, self._child = self._child, None
        self._ready = False
        if child is not None:
            child.close()
        if self._temporary is not None:
            temporary, self._temporary = self._temporary, None
            temporary.cleanup()
