"""The child process that holds one library. It makes pictures and never judges them.

``python -m harness.running.worker BUILD_FOLDER BACKEND THREADS [--keeps-state]`` replies to each line of standard
input, a ``ShotRequest``, with lines of standard output, each a ``ShotReply``. What the library itself prints goes to
standard error. The library is loaded before any module that brings another C++ runtime (numpy does): a library that is
linked with a static C++ runtime crashes if it is loaded second. A worker is started for every crash, so this module
imports little.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from harness.child_process.ended import ChildEnded
from harness.child_process.fork import in_fork
from harness.child_process.memory import peak_memory
from harness.child_process.replies import reply_channel
from harness.running.private_files import PrivateFiles
from harness.running.protocol import CLOSED, CLOSING, KEEPS_STATE, OPENED, READY, ShotReply
from sdcpp.binding import api, build_folder, library
from sdcpp.building.coverage import counting_in
from sdcpp.errors import BackendMismatch, Error

#: Log lines kept for one shot: those about adapters, and all warnings and errors.
KEPT_LINES = 40


class ShotRunner:
    """Keeps one context open and makes the pictures that requests ask for.

    With ``forks`` each picture is made in a fork of this process, taken right after the context was opened. All
    pictures then start from the same state, changes that an adapter makes to the context end with the fork, and a
    crash ends the fork alone. Forking works only while the library has neither threads nor a device of its own before
    the first picture, which holds for the CPU backend on Linux. Elsewhere pictures are made in this process, and a
    request says whether it needs a fresh context.

    ``send`` is called with a reply of outcome OPENED before the picture is made. With ``forks`` each adapter runs in
    a fork, so a crash while this process closes its context cannot be caused by an adapter; ``send`` is called with
    CLOSING before and with CLOSED after, so that the caller may ignore such a crash.
    """

    def __init__(
        self, folder: Path, backend: str, threads: int, *, forks: bool, send: Callable[[ShotReply], None]
    ) -> None:
        self._backend, self._threads, self._forks, self._send = backend, threads, forks, send
        self._library = library.load(build_folder.read(folder))
        self._api = api.bind(self._library)
        self._context: api.Context | None = None
        self._private: PrivateFiles | None = None
        self._key: object = None
        self._used = False

    def run(self, request: ShotRequest) -> ShotReply:
        """Make the picture that a request asks for; the reply's ``outcome`` says what came of it."""
        opening = self._guarded(lambda: self._open(request))
        if opening.outcome != OPENED:
            self._close()
            return opening
        self._send(ShotReply(outcome=OPENED))
        if self._forks:
            try:
                line = in_fork(
                    lambda: self._guarded(lambda: self._generate(request), request.counters).line()
                )
            except ChildEnded as ended:
                return ShotReply(outcome="crashed", signal=ended.cause)
            made = ShotReply.from_line(line)
        else:
            self._used = True
            made = self._guarded(lambda: self._generate(request), request.counters)
        return replace(made, seconds={**opening.seconds, **made.seconds})

    def _guarded(self, work: Callable[[], ShotReply], counters: str = "") -> ShotReply:
        """Return the reply of ``work``, or the one that its exception stands for, with the log and the memory.

        ``counters`` is as in ``ShotRequest``.
        """
        with self._library.record_log() as lines:
            try:
                reply = work()
            except api.GenerationFailed as error:
                reply = ShotReply(outcome="refused", text=str(error))
            except BackendMismatch as error:
                reply = ShotReply(outcome="misdirected", text=str(error))
            except Error as error:
                reply = ShotReply(outcome="failed", text=str(error))
            except Exception as error:
                # A mistake in this project, or something on this machine: it says nothing about the library.
                reply = ShotReply(outcome="failed", text=f"{type(error).__name__}: {error}")
        # A copy of this process ends with _exit, which does not write them, and so does a process that is killed.
        with counting_in(Path(counters)) if counters else nullcontext():
            self._library.write_counters()
        kept = [line.text for line in lines if line.level in ("warn", "error") or "lora" in line.text.lower()]
        return replace(
            reply,
            backend=self._context.backend if self._context else "",
            log=tuple(kept[:KEPT_LINES]),
            complaints=sum(line.level in ("warn", "error") for line in lines),
            memory=peak_memory(),
        )

    def _open(self, request: ShotRequest) -> ShotReply:
        start = time.perf_counter()
        key = (request.files, request.mode, request.lora_dir, request.options)
        if self._context is None or key != self._key or (request.fresh and self._used):
            self._close()
            if "enable_mmap" in request.flags:
                self._private = PrivateFiles(request.files)
            self._context = self._new_context(request)
            self._key, self._used = key, False
        api.check_backend(self._backend, self._context)
        return ShotReply(outcome=OPENED, seconds={"open": time.perf_counter() - start})

    def _new_context(self, request: ShotRequest) -> api.Context:
        return self._api.open(
            api.ModelFiles(**(self._private.paths if self._private else request.files)),
            mode=request.mode,
            threads=self._threads,
            lora_dir=request.lora_dir,
            options=request.options,
        )

    def _generate(self, request: ShotRequest) -> ShotReply:
        assert self._context is not None  # noqa: S101 - run() has opened it
        start, started = time.perf_counter(), time.process_time()
        with ExitStack() as others:
            contexts = [self._context]
            for _ in range(1, request.contexts):
                contexts.append(others.enter_context(self._new_context(request)))
            for context, loras in zip(itertools.cycle(contexts), request.sequence, strict=False):
                generation = api.Generation(**request.generation, init_image=request.init_image, loras=loras)
                picture = context.generate(generation)
        if changed := self._private.changed() if self._private else []:
            return ShotReply(
                outcome="spoiled", text=f"the library changed its model files: {', '.join(changed)}"
            )
        return ShotReply(
            outcome="picture",
            picture=picture,
            seconds={"generate": time.perf_counter() - start},
            processor=time.process_time() - started,
        )

    def _close(self) -> None:
        if self._context is not None:
            context, self._context = self._context, None
            if self._forks:
                self._send(ShotReply(outcome=CLOSING))
            context.close()
            if self._forks:
                self._send(ShotReply(outcome=CLOSED))
        if self._private is not None:
            private, self._private = self._private, None
            private.close()


def main(argv: list[str]) -> int:
    """Run the worker."""
    folder, backend, threads, *options = argv
    forks = backend == "cpu" and sys.platform == "linux" and KEEPS_STATE not in options
    with reply_channel() as send_line:

        def send(reply: ShotReply) -> None:
            send_line(reply.line())

        try:
            runner = ShotRunner(Path(folder), backend, int(threads), forks=forks, send=send)
        except Error as error:
            send(ShotReply(outcome="failed", text=str(error)))
            return error.exit_code
        send(ShotReply(outcome=READY))
        for line in sys.stdin.buffer:
            send(runner.run(ShotRequest.from_line(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
