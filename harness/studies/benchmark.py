"""Measure the speed of the harness and of upstream's own program, which starts once for each case."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import SEED, Case, Shot
from harness.cases.upstream_command import program_arguments
from harness.records.record import Records
from harness.reports import cost
from harness.studies import speed_goals
from harness.studies.conversion import speed
from harness.studies.speed_goals import SpeedFigure, SpeedGoal
from harness.verification.run import run_sides
from sdcpp import atomic_write, console, project
from sdcpp.errors import BuildFailed
from sdcpp.process import cores, run

PAGE = project.ROOT / "docs" / "benchmark.md"
COMMAND = "sdcpp bench --write-docs"
#: The measurement from which the page is made.
RESULTS = project.ROOT / "results" / "benchmark.json"
#: The ratio that the harness should reach.
GOAL = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRound:
    """The seconds that the harness and the program took for the same cases."""

    harness: float
    program: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of a measurement, with its command and machine.

    ``cases`` is the number of cases, ``shots`` the number of pictures that the harness made for them. ``same`` is the
    number of cases for which harness and program made the same picture, byte for byte, or both made none. ``cost`` is
    ``cost.summary`` of the last round.
    """

    command: str
    revision: str
    processor: str
    cores: int
    date: str
    cases: int
    shots: int
    same: int
    rounds: Sequence[BenchRound]
    cost: str

    def rates(self, side: Callable[[BenchRound], float]) -> list[float]:
        """Return the cases per minute of each round, for the harness or for the program."""
        return [60 * self.cases / side(timed) for timed in self.rounds]

    @property
    def ratio(self) -> float:
        """The median over the rounds of the program's time divided by the harness's time."""
        return statistics.median(timed.program / timed.harness for timed in self.rounds)

    @property
    def figure(self) -> SpeedFigure:
        """The ratio, with when and where it was measured."""
        return SpeedFigure(
            value=self.ratio,
            date=self.date,
            machine=f"{self.processor}, {self.cores} cores",
            command=self.command,
        )


def comparable(cases: Sequence[object]) -> Iterator[Case]:
    """Yield the cases that the program can also run: those of one generation with at most one adapter."""
    for case in cases:
        if isinstance(case, Case) and len(case.shot.sequence) == 1 and len(case.shot.sequence[0]) <= 1:
            yield case


def program_command(program: Path, shot: Shot, picture: Path) -> list[str]:
    """Create the files of a shot, and return the command with which the program writes its picture as PNG."""
    return [*program_arguments(str(program), shot.request(SEED), str(picture)), "--threads", str(cores())]


def measure(build: BuildUnderTest, program: Path, *, rounds: int, command: str) -> Measurement:
    """Run a build's cases with the harness and with the program, alternately, and return the times.

    The program starts once for each case. The harness also makes the reference pictures, judges the cases and writes
    the records. All files are created before the first round. Raises BuildFailed if no picture of the program equals
    that of the library, because the two then do not do the same work.
    """
    cases = [case for case in build.cases if isinstance(case, Case)]
    for shot in {shot: None for case in cases for shot in case.shots}:
        shot.request(SEED)
    results: list[BenchRound] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(1, rounds + 1):
            console.note(f"round {number} of {rounds}: {len(cases)} cases")
            began = time.perf_counter()
            records = run_sides(
                [build], folder / f"round-{number}", title="benchmark", command="sdcpp bench", jobs=None
            )
            middle = time.perf_counter()
            pictures = folder / "pictures"
            shutil.rmtree(pictures, ignore_errors=True)
            pictures.mkdir()
            for index, case in enumerate(cases):
                run(program_command(program, case.shot, pictures / f"{index}.png"), quiet=True)
            timed = BenchRound(
                harness=round(middle - began, 2), program=round(time.perf_counter() - middle, 2)
            )
            results.append(timed)
            console.note(f"   harness {timed.harness:.1f} s, program {timed.program:.1f} s")
        same = sum(_same(records, build, case, pictures / f"{index}.png") for index, case in enumerate(cases))
    if not same:
        raise BuildFailed(
            "no picture of the program equals that of the library",
            program,
            "run a case with both and compare",
        )
    machine = records.run.machine
    return Measurement(
        command=command,
        revision=next(iter(records.sides.values())).revision,
        processor=machine["processor"],
        cores=int(machine["cores"]),
        date=records.run.started[:10],
        cases=len(cases),
        shots=len(records.observations),
        same=same,
        rounds=results,
        cost=cost.summary(records),
    )


def _same(records: Records, build: BuildUnderTest, case: Case, path: Path) -> bool:
    """Return whether the PNG at ``path`` is the recorded picture of a case, or whether both are missing."""
    seen = records.observations[build.side.identity, case.shot.name]
    if seen.picture is None or not path.exists():
        return seen.picture is None and not path.exists()
    with Image.open(path) as image:
        return bool(np.array_equal(np.asarray(image.convert("RGB")), records.pictures[seen.picture]))


def write(measured: Measurement) -> tuple[Path, Path]:
    """Write the measurement and the page and return their paths; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(RESULTS, json.dumps(asdict(measured), indent=1) + "\n")
    return RESULTS, write_page()


def write_page() -> Path:
    """Write the page from all records and return its path."""
    measured = read(RESULTS)
    atomic_write.write(PAGE, page(measured, sections(measured)))
    return PAGE


def sections(measured: Measurement) -> list[str]:
    """Return the lines of the page that other records make: about all goals, and about converters if there is a record.

    ``measured`` is the measurement of the benchmark.
    """
    lines = [*speed_goals.section(goals(measured, speed.RESULTS)), ""]
    if speed.RESULTS.exists():
        lines += [*speed.section(speed.read(speed.RESULTS)), ""]
    return lines


def goals(measured: Measurement, converters: Path) -> list[SpeedGoal]:
    """Return the goals of speed with their last figures; ``converters`` is the record of converters, if it exists."""
    figures = {"bench": measured.figure}
    if converters.exists():
        figures |= speed_goals.of_converters(speed.read(converters), speed.COMMAND)
    return speed_goals.read(figures)


def read(path: Path = RESULTS) -> Measurement:
    """Return the measurement that ``write`` wrote."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    return Measurement(**{**entry, "rounds": [BenchRound(**timed) for timed in entry["rounds"]]})


def page(measured: Measurement, more: Sequence[str] = ()) -> str:
    """Return the page as Markdown. ``more`` are lines of other sections."""
    cases, cores = measured.cases, measured.cores
    rows = [
        ("harness", [timed.harness for timed in measured.rounds], measured.rates(lambda r: r.harness)),
        (
            "upstream's program",
            [timed.program for timed in measured.rounds],
            measured.rates(lambda r: r.program),
        ),
    ]
    reached = "is reached" if measured.ratio >= GOAL else "is not reached"
    lines = [
        "# How fast it is",
        "",
        f"The harness runs **{measured.ratio:.1f} times** as many cases a minute as upstream's own command-line program"
        f" (median of the rounds' ratios). The goal of {GOAL:.0f} times {reached}.",
        "",
        f"Revision {measured.revision} unpatched, {measured.processor}, {cores} cores, {measured.date}.",
        "",
        "| | seconds of each round | cases a minute, median |",
        "|---|---|---|",
        *(
            f"| {name} | {', '.join(f'{s:.1f}' for s in seconds)} | {statistics.median(rates):.0f} |"
            for name, seconds, rates in rows
        ),
        "",
        f"    {measured.command}",
        "",
        f"The program, built from the same source, starts once for each of {cases} cases and uses all {cores} cores."
        " The harness runs the same cases in one run. It also makes the reference"
        f" pictures ({measured.shots} pictures in total), judges the cases and writes the records. The files of the"
        " cases exist before the measurement."
        f" {measured.same} of the {cases} cases have the same result in both: the same picture, byte for byte, or no"
        " picture.",
        "",
        f"The time of the last round: {measured.cost}. Most of the time of a picture is spent waiting: upstream's"
        " loader checks every 0.2 s whether a file is read, three or four times for each adapter. So several"
        " pictures are made for each core at a time. The harness does the following only once for all cases: it starts"
        " Python, loads the library and the base model, makes the picture without an adapter, and merges the adapters"
        " of the reference pictures.",
        "",
        *more,
        f"The first section is made from [results/benchmark.json](../results/benchmark.json). `{COMMAND}` writes both.",
    ]
    return "\n".join(lines) + "\n"
