"""The child process that holds one library. It makes pictures and never judges them.

``python -m harness.worker BUILD_FOLDER BACKEND THREADS`` reads one JSON request a line from standard input and
answers each with one JSON line on standard output. What the library itself prints goes to standard error.
The library is loaded before anything that brings another C++ runtime along (numpy does), because a library
with a static one crashes when it comes second.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sdcpp import api, build, library
from sdcpp.errors import BackendMismatch, Error

#: Log lines kept for one shot: what the library says of adapters, and everything it complains about.
KEPT_LINES = 40


class Worker:
    """Keeps one context warm and answers requests with it."""

    def __init__(self, folder: Path, backend: str, threads: int) -> None:
        self._backend, self._threads = backend, threads
        self._library = library.load(build.read(folder))
        self._api = api.bind(self._library)
        self._context: api.Context | None = None
        self._key = ""

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the picture that a request asks for; the answer's ``outcome`` says what came of it."""
        with self._library.recorded() as lines:
            seconds: dict[str, float] = {}
            try:
                result = self._picture(request, seconds)
            except api.Refused as refusal:
                self._close()
                result = {"outcome": "refused", "text": str(refusal)}
            except BackendMismatch as mismatch:
                self._close()
                result = {"outcome": "misdirected", "text": str(mismatch)}
            except Error as error:
                self._close()
                result = {"outcome": "failed", "text": str(error)}
        kept = [line.text for line in lines if line.level in ("warn", "error") or "lora" in line.text.lower()]
        return {
            "backend": self._context.backend if self._context else "",
            "log": kept[:KEPT_LINES],
            "seconds": seconds,
            # Linux counts in KiB, macOS in bytes.
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            **result,
        }

    def _picture(self, request: Mapping[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
        start = time.perf_counter()
        key = json.dumps([request["files"], request["mode"], request["lora_dir"]])
        if request["fresh"] or key != self._key or self._context is None:
            self._close()
            self._context = self._api.open(
                api.ModelFiles(**{role: Path(path) for role, path in request["files"].items()}),
                mode=request["mode"],
                threads=self._threads,
                lora_dir=Path(request["lora_dir"]),
            )
            self._key = key
        api.check_backend(self._backend, self._context)
        opened = time.perf_counter()
        for loras in request["sequence"]:
            picture = self._context.generate(
                api.Generation(
                    **request["generation"],
                    loras=tuple(api.Lora(path=Path(path), multiplier=multiplier) for path, multiplier in loras),
                )
            )
        seconds |= {"open": opened - start, "generate": time.perf_counter() - opened}
        return {
            "outcome": "picture",
            "width": picture.width,
            "height": picture.height,
            "channels": picture.channels,
            "data": base64.b64encode(picture.data).decode(),
        }

    def _close(self) -> None:
        if self._context is not None:
            context, self._context = self._context, None
            context.close()


def serve(worker: Worker, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


def main(argv: list[str]) -> int:
    """Run the worker."""
    folder, backend, threads = argv
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        try:
            worker = Worker(Path(folder), backend, int(threads))
        except Error as error:
            print(json.dumps({"outcome": "failed", "text": str(error)}), file=answers, flush=True)
            return error.exit_code
        print(json.dumps({"outcome": "ready"}), file=answers, flush=True)
        serve(worker, sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
