"""Runs shots in worker processes, survives their deaths, and writes down what happened as it happens."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import re
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.cases.case import SEED, Shot
from harness.records import record
from harness.running.worker import STAGES
from sdcpp import console
from sdcpp.binding.build_folder import Build
from sdcpp.building import sanitizer
from sdcpp.machine.backends import get as get_backend
from sdcpp.process import start

#: Seconds that the start of a worker, the opening of a base model and the making of a picture may take, each.
TIMEOUT = 300.0
#: Workers for each core, workers at most, and bytes of memory that there must be for each: the largest base model
#: takes half of that.
PER_CORE, MOST, ROOM = 3, 24, 2 << 30
#: What a dying library says: ggml's assertions and aborts, the C++ runtime, the C library, sanitizers.
_LAST_WORDS = re.compile(
    r"GGML_ASSERT|GGML_ABORT|ggml_abort|\.(?:c|cpp|h|hpp):\d+: |"
    r"terminate called|what\(\):|[Aa]ssertion|free\(\)|malloc|corrupt|Sanitizer|runtime error:|fatal"
)
#: A frame of the backtrace that older ggml prints, by a debugger or by itself: addresses and folders of this machine.
_FRAME = re.compile(r"^#\d+ |\[0x[0-9a-f]+\]$")
#: Signals that come from outside: the library does not send them to itself, so the shot is tried once more.
_OUTSIDE = frozenset({signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A worker's answer, or how it died: ``outcome`` as in ``record.Observation``, the rest as it came.

    ``closing``: it died closing the context of an earlier request, which says nothing of this one.
    """

    outcome: str
    content: Mapping[str, Any]
    signal: str = ""
    closing: bool = False


def timed(reply: Reply, files: float) -> Reply:
    """Return a reply that says how many seconds the making of its files took."""
    return replace(
        reply,
        content={**reply.content, "seconds": {"files": files, **reply.content.get("seconds", {})}},
    )


class WorkerProcess:
    """One worker process and the pipe to it."""

    def __init__(self, build: Build, backend: str, threads: int, memory: int | None = None) -> None:
        # Appended to, because reading here moves the place at which the worker would write.
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed in close()
        self._process = start(
            [sys.executable, "-m", "harness.running.worker", build.folder, backend, str(threads)],
            # ggml would start a debugger on itself to print a backtrace of an assertion.
            env={
                **get_backend(backend).environment(),
                "GGML_NO_BACKTRACE": "1",
                "PYTHONUNBUFFERED": "1",
                **sanitizer.environment(build),
            },
            stderr=self._noise,
        )
        if memory and sys.platform == "linux" and not sanitizer.is_sanitized(build):
            import resource  # is not everywhere

            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (memory, memory))
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._ready, self._heard = False, 0

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")

    def request(self, request: Mapping[str, Any], timeout: float) -> Reply:
        """Send a request and return the answer, or how the worker ended instead.

        ``timeout`` is for the picture, in seconds; to start and to open a base model takes longer on a busy machine.
        """
        if not self._ready:
            first = self._receive(TIMEOUT)
            if first.outcome != "ready":
                return first
            self._ready = True
        self._noise.seek(0, os.SEEK_END)
        self._heard = self._noise.tell()
        try:
            assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._death_report(self._process.wait())
        stage = ""
        while True:
            reply = self._receive(timeout if stage == "opened" else TIMEOUT)
            if reply.outcome not in STAGES:
                return replace(reply, closing=stage == "closing")
            stage = reply.outcome

    def _receive(self, timeout: float) -> Reply:
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self._kill()
            return Reply(outcome="hung", content={"text": f"no answer within {timeout:g} s"})
        if not line.endswith(b"\n"):
            return self._death_report(self._process.wait())
        content = json.loads(line)
        if content["outcome"] == "crashed":
            return self._death_report(content["status"])
        return Reply(outcome=content["outcome"], content=content)

    def _death_report(self, status: int) -> Reply:
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Reply(
            outcome="crashed", content={"text": self._stderr_tail() or f"ended by {name}"}, signal=name
        )

    def _stderr_tail(self) -> str:
        """Return the lines of standard error that say why the process ended, without this machine's folders."""
        self._noise.seek(self._heard)
        lines = self._noise.read()[-20_000:].decode("utf-8", "replace").splitlines()
        telling = [line for line in lines if _LAST_WORDS.search(line) and not _FRAME.search(line.strip())]
        return "\n".join(dict.fromkeys(_shortened(line) for line in telling))

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            # The worker leads a session of its own: its copies go with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether the process can be asked again."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and its copies."""
        self._kill()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._noise.close()


def _shortened(line: str) -> str:
    """Return a line with the absolute path of a source file cut to its part below the upstream tree."""
    # Older revisions keep their sources in no folder below the tree: what is left of those is the file's name.
    patterns = (r"(ggml/(?:src|include)/\S+:\d+)", r"(src/\S+:\d+)", r"([\w.-]+:\d+)")
    found = (re.search(rf"[./]\S*/{pattern}", line) for pattern in patterns)
    place = next((each for each in found if each), None)
    return line.replace(place.group(), place.group(1)).strip() if place else line.strip()


def run_shots(
    build: Build,
    backend: str,
    shots: Iterable[Shot],
    writer: record.Writer,
    *,
    jobs: int,
    threads: int,
    timeout: float = TIMEOUT,
    memory: int | None = None,
    prepare: Callable[[Shot, int], dict[str, Any]] = Shot.request,
    seen: Callable[[record.Observation, record.Pixels | None], None] = lambda *_: None,
) -> None:
    """Run shots with a build and write an observation of each, in the order in which they end.

    ``jobs`` workers with ``threads`` threads each share the shots. A worker that dies takes one shot with it:
    the death is that shot's observation, and another worker goes on with the next; if it died closing the context of
    an earlier shot, that is said and the shot is tried once more. So is one that takes longer than ``timeout`` seconds,
    where that is less than TIMEOUT: the machine may be busy. ``memory`` bounds a worker's
    address space in bytes where the system can do so, for files that make a library ask for all there is.
    ``prepare`` makes a shot's files and returns its request for a seed.
    """
    waiting = deque(shots)
    faults: list[BaseException] = []

    def work() -> None:
        hand: WorkerProcess | None = None
        try:
            while not faults:
                try:
                    shot = waiting.popleft()
                except IndexError:
                    break
                for attempt in (1, 2):
                    hand = hand if hand and hand.alive else WorkerProcess(build, backend, threads, memory)
                    began = time.perf_counter()
                    request = prepare(shot, SEED)
                    files = time.perf_counter() - began
                    reply = hand.request(request, timeout)
                    # A copy that crashed leaves the worker, and its open base model, as they were.
                    if not hand.alive or reply.outcome == "hung":
                        hand.close()
                        hand = None
                    if reply.closing and attempt == 1:
                        console.warn(f"the library ended closing a context: {reply.content['text']}")
                    elif reply.outcome == "hung" and timeout < TIMEOUT:
                        continue
                    elif reply.signal not in {s.name for s in _OUTSIDE}:
                        break
                seen(*_write(writer, build, shot, timed(reply, files), request["lora_dir"] + os.sep))
        except BaseException as fault:
            faults.append(fault)
        finally:
            if hand:
                hand.close()

    crew = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
    for member in crew:
        member.start()
    for member in crew:
        member.join()
    if faults:
        raise faults[0]


def _write(
    writer: record.Writer, build: Build, shot: Shot, reply: Reply, folder: str
) -> tuple[record.Observation, record.Pixels | None]:
    """Write what a reply says, its picture first; ``folder`` is cut from the paths in what the library said."""
    content = reply.content
    pixels = None
    if reply.outcome == "picture":
        shape = content["height"], content["width"], content["channels"]
        pixels = np.frombuffer(base64.b64decode(content["data"]), np.uint8).reshape(shape)
    observation = record.Observation(
        build=build.identity,
        shot=shot.name,
        outcome=reply.outcome,
        picture=writer.picture(pixels) if pixels is not None else None,
        backend=content.get("backend", ""),
        signal=reply.signal,
        text=content.get("text", "").replace(folder, ""),
        log=tuple(line.replace(folder, "") for line in content.get("log", ())),
        seconds=content.get("seconds", {}),
        processor=content.get("processor", 0.0),
        memory=content.get("memory", 0),
        complaints=content.get("complaints", 0),
    )
    writer.observation(observation)
    return observation, pixels


def worker_count(cores: int, memory: int | None = None) -> tuple[int, int]:
    """Return how many workers to start and how many threads each gets, for so many cores and bytes of memory.

    A shot spends much of its time where only one thread works, or none: upstream's loader looks every 0.2 s whether a
    file is read, three times for an adapter. Several workers a core use that time. ``memory`` is this machine's.
    """
    if memory is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else ROOM
    return max(1, min(PER_CORE * cores, memory // ROOM, MOST)), 1
