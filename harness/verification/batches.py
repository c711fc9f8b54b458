"""Shots with the same limits on time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot
from harness.cases.malformed_file_case import MEMORY, TIMEOUT, MalformedFileCase
from harness.running import worker_process
from sdcpp.machine import backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Shots with the same limits: ``timeout`` in seconds for one picture, ``memory`` in bytes for a worker."""

    shots: Sequence[Shot]
    timeout: float
    memory: int | None


def batches(build: BuildUnderTest, shots: Sequence[Shot]) -> tuple[Batch, Batch]:
    """Return those of the shots that have valid files, and those that have malformed ones.

    A malformed file may make a library allocate more memory than there is. Workers with valid files have no limit, and
    neither have those that use a device: a driver reserves far more address space than it uses.
    """
    backend = build.side.backend
    malformed = {case.shot.name for case in build.cases if isinstance(case, MalformedFileCase)}
    return (
        Batch(
            shots=[shot for shot in shots if shot.name not in malformed],
            timeout=max(worker_process.TIMEOUT, backends.get(backend).picture_timeout),
            memory=None,
        ),
        Batch(
            shots=[shot for shot in shots if shot.name in malformed],
            timeout=TIMEOUT,
            memory=MEMORY if backend == "cpu" else None,
        ),
    )
