"""Run the cases of all sides, judge them, and keep records from which a killed run resumes."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, plan_digest
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.judging.judgement import judge
from harness.records import record
from harness.records.record import Records, Run, Writer
from harness.text import plural
from harness.verification.observer import Observer
from harness.verification.repeats import judge_with_repeats
from sdcpp import atomic_write, console, project
from sdcpp.errors import FileInvalid, NothingTried
from sdcpp.machine import devices
from sdcpp.process import cores

#: The name of the records file; all reports are made from it.
RECORDS = "records.jsonl"


def run_sides(
    builds: Sequence[BuildUnderTest],
    folder: Path,
    *,
    title: str,
    command: str,
    jobs: int | None,
    reuse: bool = False,
    repeats: bool = False,
    proposal: Mapping[str, Any] | None = None,
    expected: Sequence[Expectation] | None = None,
) -> Records:
    """Run the cases of ``builds``, judge them, and return the records, which are also written to ``folder``.

    If ``folder`` holds the records of an interrupted run of the same cases and builds, only the missing shots run. With
    ``reuse`` a finished run is not run again but judged again. With ``repeats`` cases that fail the run, and cases that
    a side changes, are run again before they count (see ``harness.verification.repeats``). ``jobs`` is the number of
    workers; None chooses it.
    ``proposal`` becomes part of the records. ``expected`` are the expected verdicts; None stands for expectations.toml.

    Raises NothingTried if there are no cases and no proposal that says why, and FixtureInvalid if the pictures of a
    base model cannot be compared reliably.
    """
    if not any(build.cases for build in builds) and not proposal:
        raise NothingTried("no case is selected", title, "give another --case; --list shows the cases")
    expected = expectation.load() if expected is None else expected
    path = atomic_write.ensure_folder(folder) / RECORDS
    plan = _plan(builds)
    records = _earlier(path, plan, reuse=reuse)
    if records is not None and records.finished:
        records.cells = list(judge(builds, records, expected))
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
        records = Records(run=head, sides={build.side.label: build.side for build in builds})
        with Writer(path) as writer:
            writer.run(head)
            for build in builds:
                writer.side(build.side)
    else:
        console.note(
            f"resuming an interrupted run, which has recorded {plural(len(records.observations), 'picture')}"
        )
    with Writer(path, records.pictures) as writer:
        _add_recorded(builds, records, writer)
        Observer(builds, records, writer, expected, repeats=repeats).run(jobs)
        cells = (
            judge_with_repeats(builds, records, writer, jobs, expected)
            if repeats
            else judge(builds, records, expected)
        )
        for cell in cells:
            writer.cell(cell)
            records.cells.append(cell)
        records.finished = _now()
        writer.end(records.finished)
    return records


def _add_recorded(builds: Sequence[BuildUnderTest], records: Records, writer: Writer) -> None:
    """Add to the records, and write, the pictures that cases are compared with and that were known before the run."""
    for case in (case for build in builds for case in build.cases if isinstance(case, Case)):
        if case.recorded and case.recorded.pixels is not None:
            records.pictures[writer.picture(case.recorded.pixels)] = case.recorded.pixels


def _plan(builds: Sequence[BuildUnderTest]) -> str:
    """Return the digest that an interrupted run must share to be resumed."""
    parts: list[object] = []
    for build in builds:
        parts += [build.side.label, build.side.identity]
        parts += [
            (case.name, shot.name, shot.base.digest, shot.base.generation)
            for case in build.cases
            if not (isinstance(case, Case) and case.missing)
            for shot in case.shots
        ]
    return plan_digest(parts)


def _earlier(path: Path, plan: str, *, reuse: bool) -> Records | None:
    """Return the records at ``path`` if they can be resumed or, with ``reuse``, if they are finished."""
    if not path.exists():
        return None
    try:
        record.drop_torn_line(path)
        records = record.read(path)
    except FileInvalid:
        return None
    # A run that was killed while it was judged cannot be resumed: its cells would be written twice.
    usable = reuse if records.finished else not records.cells
    return records if usable and records.run.plan == plan else None


def machine() -> dict[str, str]:
    """Return the system, processor, number of cores and Python version, but no name of this machine."""
    return {
        "system": platform.platform(),
        "processor": devices.processor()[0].name,
        "cores": str(cores()),
        "python": platform.python_version(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
