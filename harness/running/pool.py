"""Run shots in several worker processes and write an observation of each."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from harness.cases.case import SEED, Shot
from harness.cases.shot_request import ShotRequest
from harness.records import record
from harness.records.pictures import Pixels
from harness.running.protocol import ShotReply
from harness.running.worker_process import TIMEOUT, WorkerProcess
from sdcpp.binding.build_folder import Build

#: Upper limits of the number of workers, or of the forks of one worker that make pictures: for each core, and in all.
WORKERS_PER_CORE, MOST_WORKERS = 3, 24
#: Bytes of memory for each worker: what a picture of the largest base model without a ``Demand`` takes.
MEMORY_PER_WORKER = 2 << 30
#: Signals that a library does not send to itself: another process has killed the worker.
_FROM_OUTSIDE = frozenset({"SIGTERM", "SIGKILL"})


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
    repeat: int = 0,
    keeps_state: bool = False,
    prepare: Callable[[Shot, int], ShotRequest] = Shot.request,
    seen: Callable[[record.Observation, Pixels | None], None] = lambda *_: None,
) -> None:
    """Run shots with a build and write an observation of each, in the order in which they end.

    ``jobs`` pictures are made at a time, with ``threads`` threads each: in forks of one worker if it can fork, else in
    so many workers. A crash is the observation of one shot. ``timeout`` is the seconds for one picture. ``memory``
    limits the address space of a process to so many bytes where the system can do that, for files that make a library
    allocate all there is.
    ``repeat`` is the number of the repeat if the shots have been run before; each is then made by a worker of its own.
    ``keeps_state`` is explained in ``WorkerProcess``. ``prepare`` makes a shot's files and returns its request for a
    seed. ``seen`` is called with each observation and its picture, by several threads.
    """
    waiting = deque(shots)
    errors: list[BaseException] = []

    def work(worker: WorkerProcess) -> None:
        try:
            while not errors:
                try:
                    shot = waiting.popleft()
                except IndexError:
                    break
                worker.begin()  # it loads the library while the files are made
                began = time.perf_counter()
                request = prepare(shot, SEED)
                files = time.perf_counter() - began
                reply = _request(worker, request, timeout)
                reply = replace(reply, seconds={"files": files, **reply.seconds})
                seen(*_write(writer, build, shot, reply, f"{request.lora_dir}{os.sep}", repeat=repeat))
                if repeat:
                    worker.close()
        except BaseException as error:
            errors.append(error)

    workers = [WorkerProcess(build, backend, threads, memory, keeps_state=keeps_state) for _ in range(jobs)]
    if workers[0].forks and not repeat:
        workers = workers[:1]
    running = [
        threading.Thread(target=work, args=(worker,), daemon=True)
        for worker, _ in zip(itertools.cycle(workers), range(jobs), strict=False)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for worker in workers:
        worker.close()
    if errors:
        raise errors[0]


def _request(worker: WorkerProcess, request: ShotRequest, timeout: float) -> ShotReply:
    """Return a worker's reply, the second one if the first may not be the library's fault with this request.

    That is so if another process killed the worker, and if a ``timeout`` shorter than TIMEOUT has passed: the machine
    may be busy.
    """
    reply = worker.request(request, timeout)
    if not (reply.outcome == "hung" and timeout < TIMEOUT) and reply.signal not in _FROM_OUTSIDE:
        return reply
    return worker.request(request, timeout)


def _write(
    writer: record.Writer, build: Build, shot: Shot, reply: ShotReply, folder: str, *, repeat: int
) -> tuple[record.Observation, Pixels | None]:
    """Write the picture and then the observation of a reply; ``folder`` is cut out of the library's messages."""
    pixels = None
    if reply.picture:
        shape = reply.picture.height, reply.picture.width, reply.picture.channels
        pixels = np.frombuffer(reply.picture.data, np.uint8).reshape(shape)
    observation = record.Observation(
        build=build.identity,
        shot=shot.name,
        outcome=reply.outcome,
        picture=writer.picture(pixels) if pixels is not None else None,
        backend=reply.backend,
        signal=reply.signal,
        text=reply.text.replace(folder, ""),
        log=tuple(line.replace(folder, "") for line in reply.log),
        seconds=reply.seconds,
        processor=reply.processor,
        memory=reply.memory,
        complaints=reply.complaints,
    )
    writer.observation(observation, repeat)
    return observation, pixels


def worker_count(cores: int, memory: int | None = None) -> tuple[int, int]:
    """Return how many pictures to make at a time and with how many threads, for so many cores and bytes of memory.

    There are several for each core, because a shot spends much of its time waiting: upstream's loader checks every
    0.2 s whether a file is read, three times for an adapter. The default of ``memory`` is this machine's.
    """
    if memory is None:
        has_sysconf = hasattr(os, "sysconf")
        memory = (
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if has_sysconf else MEMORY_PER_WORKER
        )
    return max(1, min(WORKERS_PER_CORE * cores, memory // MEMORY_PER_WORKER, MOST_WORKERS)), 1
