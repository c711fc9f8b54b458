"""Makes pictures with a loaded library, in the process that calls it. Imported by workers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from harness.child_process.memory import peak_memory
from harness.running.private_files import PrivateFiles
from harness.running.protocol import OPENED, ShotReply
from sdcpp.binding import api, build_folder, library
from sdcpp.building.coverage import counting_in
from sdcpp.errors import BackendMismatch, Error

#: Log lines kept for one shot: those about adapters, and all warnings and errors.
KEPT_LINES = 40


class ShotRunner:
    """Keeps one context open and makes the pictures that requests ask for.

    Loads the library of the build in ``folder``; raises what ``library.load`` and ``api.bind`` raise.
    """

    def __init__(self, folder: Path, backend: str, threads: int) -> None:
        self._backend, self._threads = backend, threads
        self._library = library.load(build_folder.read(folder))
        self._api = api.bind(self._library)
        # A fork has the counters of this process, and would write them as its own.
        self._library.write_counters()
        self._context: api.Context | None = None
        self._private: PrivateFiles | None = None
        self._opened: ShotRequest | None = None
        self._used = False

    def key(self, request: ShotRequest) -> Hashable:
        """Return what is the same for all requests that one context can serve while it has made no picture.

        Generation C gets the paths of adapters with each picture, so its contexts have no folder of adapters.
        """
        folder = None if self._api.generation == "C" else request.lora_dir
        return (
            tuple(sorted(request.files.items())),
            request.mode,
            folder,
            tuple(sorted(request.options.items())),
        )

    def open(self, request: ShotRequest) -> ShotReply:
        """Open the context of a request, unless it is open; the outcome is OPENED or says what went wrong.

        A context that has made a picture serves no request that needs a fresh one or has another folder of adapters.
        """
        opening = self._guarded(lambda: self._open(request))
        if opening.outcome != OPENED:
            self.close()
        return opening

    def make(self, request: ShotRequest, opening: ShotReply) -> ShotReply:
        """Make the picture of a request for which ``open`` returned ``opening``; the outcome says what came of it."""
        self._used = True
        made = self._guarded(lambda: self._generate(request), request.counters)
        return replace(made, seconds={**opening.seconds, **made.seconds})

    def close(self) -> None:
        """Close the context, if one is open."""
        if self._context is not None:
            context, self._context = self._context, None
            context.close()
        if self._private is not None:
            private, self._private = self._private, None
            private.close()

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
        context = self._context if self._serves(request) else None
        if context is None:
            self.close()
            if "enable_mmap" in request.flags:
                self._private = PrivateFiles(request.files)
            context = self._context = self._new_context(request)
            self._opened, self._used = request, False
        api.check_backend(self._backend, context)
        return ShotReply(outcome=OPENED, seconds={"open": time.perf_counter() - start})

    def _serves(self, request: ShotRequest) -> bool:
        """Whether the open context serves a request."""
        if self._opened is None or self.key(request) != self.key(self._opened):
            return False
        return not self._used or (not request.fresh and request.lora_dir == self._opened.lora_dir)

    def _new_context(self, request: ShotRequest) -> api.Context:
        return self._api.open(
            api.ModelFiles(**(self._private.paths if self._private else request.files)),
            mode=request.mode,
            threads=self._threads,
            lora_dir=request.lora_dir,
            options=request.options,
        )

    def _generate(self, request: ShotRequest) -> ShotReply:
        assert self._context is not None  # noqa: S101 - open() has opened it
        start, started = time.perf_counter(), time.process_time()
        with ExitStack() as others:
            contexts = [self._context]
            for _ in range(1, request.contexts):
                contexts.append(others.enter_context(self._new_context(request)))
            for context, loras in zip(itertools.cycle(contexts), request.sequence, strict=False):
                generation = api.Generation(
                    **request.generation,
                    init_image=request.init_image,
                    ref_images=request.ref_images,
                    loras=loras,
                )
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
