"""The main job: build each side, run the cases on it, judge, and keep records that a killed run resumes from."""

from __future__ import annotations

import datetime
import os
import platform
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot, plan_digest, unique_shots
from harness.cases.malformed_file_case import MEMORY, TIMEOUT, MalformedFileCase
from harness.judging import expectation
from harness.judging.judgement import judge, judge_case
from harness.records import record
from harness.records.pictures import Pixels
from harness.records.record import Observation, Records, Run, Writer
from harness.records.verdict import Status
from harness.reports.progress import Progress
from harness.running import pool
from harness.running.preparer import Preparer
from sdcpp import atomic_write, console, project
from sdcpp.errors import FileInvalid, NothingTried
from sdcpp.machine import backends, devices
from sdcpp.process import cores

#: The file that everything else is made from.
RECORDS = "records.jsonl"


def run_sides(
    contenders: Sequence[BuildUnderTest],
    folder: Path,
    *,
    title: str,
    command: str,
    jobs: int | None,
    reuse: bool = False,
    proposal: Mapping[str, Any] | None = None,
) -> Records:
    """Run the contenders' cases, judge them, and return (and keep in ``folder``) the records.

    If ``folder`` holds the records of the same plan, killed before its end, the run is taken up there;
    with ``reuse`` one that reached its end is not run again, only judged again. ``proposal`` is kept with them.
    Raises NothingTried without cases, unless a proposal says why, and FixtureInvalid for a base model that cannot
    carry a comparison.
    """
    if not any(contender.cases for contender in contenders) and not proposal:
        raise NothingTried("no case is selected", title, "widen --select; --list shows the cases")
    path = atomic_write.ensure_folder(folder) / RECORDS
    plan = _plan(contenders)
    records = _earlier(path, plan, reuse=reuse)
    if records is not None and records.finished:
        records.cells = list(judge(contenders, records, expectation.load()))
        return records
    if records is None:
        path.unlink(missing_ok=True)
        head = Run(
            plan=plan,
            title=title,
            command=command,
            machine=machine(),
            started=_now(),
            project=project.version(),
            proposal=proposal or {},
        )
        records = Records(run=head, sides={contender.side.label: contender.side for contender in contenders})
        with Writer(path) as writer:
            writer.run(head)
            for contender in contenders:
                writer.side(contender.side)
    else:
        console.note(
            f"resuming: {len(records.observations)} pictures of an interrupted run are there already"
        )
    with Writer(path, records.pictures) as writer:
        _observe(contenders, records, writer, jobs)
        for cell in judge(contenders, records, expectation.load()):
            writer.cell(cell)
            records.cells.append(cell)
        records.finished = _now()
        writer.end(records.finished)
    return records


def _plan(contenders: Sequence[BuildUnderTest]) -> str:
    parts: list[object] = []
    for contender in contenders:
        parts += [contender.side.label, contender.side.identity]
        parts += [
            (case.name, shot.name, shot.base.digest, shot.base.generation)
            for case in contender.cases
            for shot in case.shots
        ]
    return plan_digest(parts)


def _earlier(path: Path, plan: str, *, reuse: bool) -> Records | None:
    if not path.exists():
        return None
    try:
        record.drop_torn_line(path)
        records = record.read(path)
    except FileInvalid:
        return None
    # A run killed between its first judgement and its end has all pictures, but judging starts anew.
    usable = reuse if records.finished else not records.cells
    return records if usable and records.run.plan == plan else None


def _observe(
    contenders: Sequence[BuildUnderTest], records: Records, writer: Writer, jobs: int | None
) -> None:
    """Run the shots that ``records`` lacks and add what is seen to it; show the first failure at once."""
    workers, threads = pool.worker_count(cores())
    left: dict[str, tuple[BuildUnderTest, list[Shot]]] = {}
    for contender in contenders:
        identity = contender.side.identity
        if identity not in left:  # else no patch tells it from the other side
            shots = unique_shots(contender.cases)
            left[identity] = (
                contender,
                [s for s in shots if (identity, s.name) not in records.observations],
            )
    expected, lock, told = expectation.load(), threading.Lock(), False
    every = [shot for _, shots in left.values() for shot in shots]
    with Preparer(every, min(jobs or workers, cores())) as prepare, Progress(len(every)) as progress:
        for contender, shots in left.values():
            side, observed = contender.side, records.of(contender.side.identity)
            users: dict[str, list[Case | MalformedFileCase]] = {}
            for case in contender.cases:
                for shot in case.shots:
                    users.setdefault(shot.name, []).append(case)

            def seen(observation: Observation, pixels: Pixels | None) -> None:
                nonlocal told
                with lock:
                    records.observations[observation.build, observation.shot] = observation
                    observed[observation.shot] = observation  # noqa: B023
                    if pixels is not None and observation.picture:
                        records.pictures[observation.picture] = pixels
                    cells = [
                        judge_case(contender, case, observed, records, expected)  # noqa: B023
                        for case in users[observation.shot]  # noqa: B023
                        if all(shot.name in observed for shot in case.shots)  # noqa: B023
                    ]
                    progress.update(f"{side.label}  {observation.shot}", [cell.verdict for cell in cells])  # noqa: B023
                    red = next((cell for cell in cells if cell.status is Status.UNEXPECTED), None)
                    if red and not told and not contender.baseline:  # noqa: B023
                        told = True
                        progress.say(f"first failure: {red.side} {red.case}: {red.verdict}")
                        progress.say(f"  {red.evidence}\n  $ {red.repeat}")

            # A broken file may make a library ask for more memory than there is; a sound one must not be bounded.
            # A driver of a graphics device asks for far more address space than it ever uses.
            odd = {case.shot.name for case in contender.cases if isinstance(case, MalformedFileCase)}
            patience = max(pool.TIMEOUT, backends.get(side.backend).patience)
            for batch, timeout, memory in (
                ([s for s in shots if s.name not in odd], patience, None),
                ([s for s in shots if s.name in odd], TIMEOUT, MEMORY if side.backend == "cpu" else None),
            ):
                pool.run_shots(
                    contender.build,
                    side.backend,
                    batch,
                    writer,
                    jobs=jobs or workers,
                    threads=threads,
                    timeout=timeout,
                    memory=memory,
                    prepare=prepare,
                    seen=seen,
                )


def machine() -> dict[str, str]:
    """Return what is worth knowing of this machine, without its name."""
    return {
        "system": platform.platform(),
        "processor": devices.processor()[0].name,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
