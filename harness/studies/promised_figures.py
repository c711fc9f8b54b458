"""The figures of docs/promises.md, each read from a record of the last measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import record, understood_names
from harness.records.record import Records, Side
from harness.records.verdict import FAILING, NOT_JUDGED, Status, Verdict
from harness.studies import benchmark, speed_goals
from harness.studies.applying import goals
from harness.studies.applying import study as apply_study
from harness.studies.conversion import twins as conversion_twins
from harness.studies.coverage import measurement
from harness.studies.coverage.parts import PARTS
from harness.studies.mutation import outcome as mutation_outcome
from harness.studies.mutation import page
from harness.studies.real_models import study as real_model_study
from harness.studies.trainers import study as trainer_study

#: The largest relative error of a conversion to F32 that counts as exact: twice the precision of F32.
EXACT = 2 * 2.0**-24


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The last measurement of one promise: what was measured, whether it keeps the promise, and how to repeat it."""

    subject: str
    text: str
    kept: bool
    date: str
    machine: str
    command: str


def patched(files: Sequence[Path]) -> Iterator[Figure]:
    """Yield a figure for each patched side in files of records, the newest revision first."""
    sides = [
        (file, records, side) for file in files for records in [record.read(file)] for side in _sides(records)
    ]
    for file, records, side in sorted(sides, key=lambda item: item[2].revision, reverse=True):
        cells = [cell for cell in records.cells if cell.side == side.label]
        judged = [cell for cell in cells if cell.verdict not in NOT_JUDGED]
        passed = sum(cell.verdict is Verdict.PASS for cell in judged)
        expected = sum(cell.status is Status.XFAIL for cell in judged)
        failed = sum(cell.status in FAILING for cell in cells)
        yield Figure(
            subject=f"{side.revision}, {side.backend} ({file.name})",
            text=f"{passed} of {len(cells)} cells pass, {expected} fail as expected, "
            f"{len(cells) - len(judged)} not judged, {failed} unexpected",
            kept=not failed,
            date=records.run.started[:10],
            machine=_machine(records, side),
            command=records.run.command,
        )


def _sides(records: Records) -> list[Side]:
    return [side for side in records.sides.values() if side.patched]


def _machine(records: Records, side: Side) -> str:
    cores = records.run.machine.get("cores", "")
    device = side.device or records.run.machine.get("processor", "")
    return f"{device}, {cores} cores" if cores and side.backend == "cpu" else device


def names(path: Path) -> Iterator[Figure]:
    """Yield a figure for each patched build whose names of trainers were recorded."""
    for build in understood_names.read(path):
        if build.state == "patched":
            right, total = sum(one.right for one in build.rows), sum(one.total for one in build.rows)
            yield Figure(
                subject=build.revision,
                text=f"{right} of {total} names",
                kept=right == total,
                date=build.date,
                machine="",
                command="sdcpp study names --write-docs",
            )


def coverage(path: Path) -> Iterator[Figure]:
    """Yield a figure for each build and part of the code that has a goal."""
    for one in measurement.read(path):
        for part in PARTS:
            if part.goal:
                lines, branches = one.lines(part.name), one.branches(part.name)
                yield Figure(
                    subject=f"{part.name}, {one.label}",
                    text=f"{lines.percent:.1f} % of lines (goal {part.goal.lines:g}), "
                    f"{branches.percent:.1f} % of branches (goal {part.goal.branches:g})",
                    kept=lines.percent >= part.goal.lines and branches.percent >= part.goal.branches,
                    date=one.date,
                    machine=f"{one.backend}, {one.compiler}",
                    command="sdcpp study coverage --write-docs",
                )


def mutants(path: Path) -> Iterator[Figure]:
    """Yield a figure for each revision whose mutants were run."""
    rows = page.read(path)
    for revision in dict.fromkeys(one.revision for one in rows):
        states = [mutation_outcome.State(one.state) for one in rows if one.revision == revision]
        right = sum(state in mutation_outcome.WANTED for state in states)
        waiting = states.count(mutation_outcome.State.NOT_RUN)
        yield Figure(
            subject=revision,
            text=f"{right} of {len(states)} as wanted, {waiting} not run since they were changed",
            kept=right == len(states),
            date=max(one.date for one in rows if one.revision == revision),
            machine="",
            command="nox -s mutants",
        )


def twins(folder: Path) -> Iterator[Figure]:
    """Yield a figure for each run of files that ``lora convert --for`` made."""
    for path in sorted(folder.glob("*.jsonl*")):
        records = record.read(path)
        ran = [cell for cell in records.cells if not conversion_twins.reason(cell)]
        bad = len(conversion_twins.failed(ran))
        first, *_ = sides = list(records.sides.values())
        revisions = sorted({side.revision for side in sides})
        yield Figure(
            subject=f"{', '.join(revisions)} ({path.name})",
            text=f"{len(ran) - bad} of {len(ran)} files pass",
            kept=not bad,
            date=records.run.started[:10],
            machine=_machine(records, first),
            command=records.run.command,
        )


def trainers(path: Path) -> Iterator[Figure]:
    """Yield a figure for the files that trainers' libraries write, and one for what the converter makes of them."""
    found = trainer_study.read(path)
    bases = ", ".join(dict.fromkeys(outcome.base for outcome in found.outcomes))
    right = [
        outcome
        for outcome in found.outcomes
        if outcome.verdicts and all(verdict == Verdict.PASS for verdict in outcome.verdicts.values())
    ]
    errors = [outcome.converter for outcome in found.outcomes if outcome.converter is not None]
    exact = [error for error in errors if error <= EXACT]
    yield Figure(
        subject=f"the file itself, {found.side}, {bases}",
        text=f"{len(right)} of {len(found.outcomes)} files pass",
        kept=len(right) == len(found.outcomes),
        date=found.date,
        machine="cpu",
        command=found.command,
    )
    yield Figure(
        subject="its conversion",
        text=f"{len(exact)} of {len(found.outcomes)} files, largest relative error {max(errors, default=0):.1e}",
        kept=len(exact) == len(found.outcomes),
        date=found.date,
        machine="cpu",
        command=found.command,
    )


def real_models(path: Path) -> Iterator[Figure]:
    """Yield a figure for each attempt with the patches on a model of real size."""
    for attempt in real_model_study.read(path):
        if attempt.patched:
            passed = [mode for mode, verdict in attempt.verdicts.items() if verdict == Verdict.PASS]
            yield Figure(
                subject=f"{attempt.base}, {attempt.adapter}, {attempt.revision}, {attempt.backend}",
                text=attempt.problem or f"{len(passed)} of {len(attempt.verdicts)} apply modes pass",
                kept=not attempt.problem and len(passed) == len(attempt.verdicts) > 0,
                date=attempt.date[:10],
                machine=attempt.device,
                command=attempt.command,
            )


def applying(path: Path) -> Iterator[Figure]:
    """Yield a figure for each undisturbed study of what applying costs: how many of its goals are reached."""
    for study in apply_study.read(path):
        if results := goals.results(study):
            reached = sum(result.reached for result in results)
            yield Figure(
                subject=f"{study.base} on {study.backend}, {study.revision} with the patches",
                text=f"{reached} of {len(results)} goals reached",
                kept=reached == len(results),
                date=study.date,
                machine=study.device,
                command=study.command,
            )


def speed(folder: Path) -> Iterator[Figure]:
    """Yield a figure for each goal of the harness's speed."""
    for goal in benchmark.goals(benchmark.read(folder / "benchmark.json"), folder / "converters.json"):
        limit = f"{'at least' if goal.least else 'at most'} {speed_goals.shown(goal.limit, goal.unit)}"
        yield Figure(
            subject=goal.what,
            text=f"{speed_goals.shown(goal.figure.value, goal.unit)} (goal: {limit})",
            kept=goal.reached,
            date=goal.figure.date,
            machine=goal.figure.machine,
            command=goal.figure.command,
        )
