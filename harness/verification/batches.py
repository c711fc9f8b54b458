"""Shots with the same limits on time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot
from harness.cases.malformed_file_case import MEMORY, TIMEOUT, MalformedFileCase
from harness.cases.shot_request import ShotRequest
from harness.records.pictures import Pixels
from harness.records.record import Observation, Writer
from harness.running import worker_process
from harness.running.pool import run_shots, worker_count
from sdcpp.machine import backends
from sdcpp.process import cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Shots with the same limits: ``timeout`` in seconds for one picture, ``memory`` in bytes for a process.

    ``jobs`` are made at a time, with ``threads`` threads each. ``keeps_state`` is explained in ``WorkerProcess``.
    """

    shots: Sequence[Shot]
    timeout: float
    memory: int | None
    jobs: int
    threads: int
    keeps_state: bool = False

    def run(
        self,
        build: BuildUnderTest,
        writer: Writer,
        *,
        prepare: Callable[[Shot, int], ShotRequest],
        seen: Callable[[Observation, Pixels | None], None],
        repeat: int = 0,
    ) -> None:
        """Make the pictures with a build; the other arguments are those of ``harness.running.pool.run_shots``."""
        if self.shots:
            run_shots(
                build.build,
                build.side.backend,
                self.shots,
                writer,
                jobs=self.jobs,
                threads=self.threads,
                timeout=self.timeout,
                memory=self.memory,
                keeps_state=self.keeps_state,
                prepare=prepare,
                seen=seen,
                repeat=repeat,
            )


def batches(build: BuildUnderTest, shots: Sequence[Shot], jobs: int | None = None) -> list[Batch]:
    """Return those of the shots that have valid files, and those that have malformed ones.

    A malformed file may make a library allocate more memory than there is. Workers with valid files have no limit, and
    neither have those that use a device: a driver reserves far more address space than it uses. Shots of large base
    models come last (``harness.models.base_model.Demand``). ``jobs`` is the number of workers; None chooses it by cores
    and memory.
    """
    backend = build.side.backend
    malformed = {case.shot.name for case in build.cases if isinstance(case, MalformedFileCase)}
    count, threads = worker_count(cores())
    usual = max(worker_process.TIMEOUT, backends.get(backend).picture_timeout)
    small = [shot for shot in shots if shot.base.demand is None]
    demands = dict.fromkeys(shot.base.demand for shot in shots if shot.base.demand)
    return [
        Batch(
            shots=[shot for shot in small if shot.name not in malformed],
            timeout=usual,
            memory=None,
            jobs=jobs or count,
            threads=threads,
        ),
        Batch(
            shots=[shot for shot in small if shot.name in malformed],
            timeout=TIMEOUT,
            memory=MEMORY if backend == "cpu" else None,
            jobs=jobs or count,
            threads=threads,
        ),
        *(
            Batch(
                shots=[shot for shot in shots if shot.base.demand == demand],
                timeout=max(usual, demand.timeout),
                memory=None,
                jobs=jobs or 1,
                threads=max(1, cores() // (jobs or 1)),
                keeps_state=demand.keeps_state,
            )
            for demand in demands
        ),
    ]
