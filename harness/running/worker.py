"""The child process that holds one library. It makes pictures and never judges them.

``python -m harness.running.worker BUILD_FOLDER BACKEND THREADS`` reads one JSON request a line from standard input and
answers each with one JSON line on standard output. What the library itself prints goes to standard error.
The library is loaded before anything that brings another C++ runtime along (numpy does), because a library
with a static one crashes when it comes second.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdcpp.binding import api, build_folder, library
from sdcpp.errors import BackendMismatch, Error

#: What a worker says before an answer: that it closes and has closed the context of an earlier request, that the base
#: model is open.
STAGES = frozenset({"closing", "closed", "opened"})
#: Log lines kept for one shot: what the library says of adapters, and everything it complains about.
KEPT_LINES = 40


class ShotRunner:
    """Keeps one context open and answers requests with it.

    With ``forks`` every picture is made in a copy of this process, forked from the just opened context: each
    starts from the same state, what an adapter leaves behind goes with the copy, and one that aborts takes
    nothing else along. That holds only while the library has no threads and no device of its own before its
    first picture, which is so for the CPU backend on Linux. Elsewhere pictures are made in this process, and a
    request says if it needs a fresh context.

    ``tell`` is called with "opened" before the picture is made. With ``forks`` no adapter ever was in the context that
    is closed for another one, so that a death at that says nothing of any picture: ``tell`` is called with "closing"
    before and with "closed" after.
    """

    def __init__(
        self, folder: Path, backend: str, threads: int, *, forks: bool, tell: Callable[[str], None]
    ) -> None:
        self._backend, self._threads, self._forks, self._tell = backend, threads, forks, tell
        self._library = library.load(build_folder.read(folder))
        self._api = api.bind(self._library)
        self._context: api.Context | None = None
        self._key = ""
        self._used = False

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the picture that a request asks for; the answer's ``outcome`` says what came of it."""
        opening = self._guarded(lambda: self._open(request))
        if "outcome" in opening:
            self._close()
            return opening
        self._tell("opened")
        if not self._forks:
            self._used = True
            made = self._guarded(lambda: self._picture(request))
        else:
            made = _in_a_copy(lambda: self._guarded(lambda: self._picture(request)))
        return {**made, "seconds": {**opening["seconds"], **made.get("seconds", {})}}

    def _guarded(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``work`` returns with the log meanwhile, or the outcome that its exception stands for."""
        with self._library.recorded() as lines:
            try:
                result = work()
            except api.GenerationFailed as refusal:
                result = {"outcome": "refused", "text": str(refusal)}
            except BackendMismatch as mismatch:
                result = {"outcome": "misdirected", "text": str(mismatch)}
            except Error as error:
                result = {"outcome": "failed", "text": str(error)}
        kept = [line.text for line in lines if line.level in ("warn", "error") or "lora" in line.text.lower()]
        return {
            "backend": self._context.backend if self._context else "",
            "log": kept[:KEPT_LINES],
            "complaints": sum(line.level in ("warn", "error") for line in lines),
            "memory": _peak(),
            **result,
        }

    def _open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        key = json.dumps([request["files"], request["mode"], request["lora_dir"]])
        if self._context is None or key != self._key or (request["fresh"] and self._used):
            self._close()
            self._context = self._api.open(
                api.ModelFiles(**{role: Path(path) for role, path in request["files"].items()}),
                mode=request["mode"],
                threads=self._threads,
                lora_dir=Path(request["lora_dir"]),
            )
            self._key, self._used = key, False
        api.check_backend(self._backend, self._context)
        return {"seconds": {"open": time.perf_counter() - start}}

    def _picture(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._context is not None  # noqa: S101 - answer() has opened it
        start, started = time.perf_counter(), time.process_time()
        for loras in request["sequence"]:
            picture = self._context.generate(
                api.Generation(
                    **request["generation"],
                    loras=tuple(
                        api.Lora(path=Path(path), multiplier=multiplier) for path, multiplier in loras
                    ),
                )
            )
        return {
            "outcome": "picture",
            "width": picture.width,
            "height": picture.height,
            "channels": picture.channels,
            "data": base64.b64encode(picture.data).decode(),
            "seconds": {"generate": time.perf_counter() - start},
            "processor": time.process_time() - started,
        }

    def _close(self) -> None:
        if self._context is not None:
            context, self._context = self._context, None
            if self._forks:
                self._tell("closing")
            context.close()
            if self._forks:
                self._tell("closed")


def _peak() -> int:
    """Return this process's largest resident set in bytes, 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _in_a_copy(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``work`` returns in a forked copy of this process, or how the copy ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            # No clean-up of what belongs to the process this is a copy of.
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status == 0:
        made: dict[str, Any] = json.loads(text)
        return made
    return {"outcome": "crashed", "status": os.waitstatus_to_exitcode(status)}


def main(argv: list[str]) -> int:
    """Run the worker."""
    folder, backend, threads = argv
    forks = backend == "cpu" and sys.platform == "linux"
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def say(answer: Mapping[str, Any]) -> None:
            print(json.dumps(answer), file=answers, flush=True)

        try:
            worker = ShotRunner(
                Path(folder), backend, int(threads), forks=forks, tell=lambda word: say({"outcome": word})
            )
        except Error as error:
            say({"outcome": "failed", "text": str(error)})
            return error.exit_code
        say({"outcome": "ready"})
        for line in sys.stdin:
            say(worker.answer(json.loads(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
