"""Measure the speed of the harness against upstream's own program, started once for each case."""

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
from harness.verification.run import run_sides
from sdcpp import atomic_write, console, project
from sdcpp.errors import BuildFailed
from sdcpp.process import cores, run

PAGE = project.ROOT / "docs" / "benchmark.md"
COMMAND = "sdcpp bench --write-docs"
#: The measurement that the page is made of.
RESULTS = project.ROOT / "results" / "benchmark.json"
#: The ratio that the harness should reach.
GOAL = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRound:
    """One round: the seconds that the harness and the program took for the same cases."""

    harness: float
    program: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured where, with which command.

    ``shots`` counts the pictures that the harness made for the cases, ``same`` the cases for which harness and program
    gave the same picture, byte by byte, or both none. ``cost`` is ``cost.summary`` of the last round.
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
        return [60 * self.cases / side(one) for one in self.rounds]

    @property
    def ratio(self) -> float:
        """The median over the rounds of the program's time divided by the harness's time."""
        return statistics.median(one.program / one.harness for one in self.rounds)


def comparable(cases: Sequence[object]) -> Iterator[Case]:
    """Yield the cases that the program can run, too: those with one picture and at most one adapter."""
    for case in cases:
        if isinstance(case, Case) and len(case.shot.sequence) == 1 and len(case.shot.sequence[0]) <= 1:
            yield case


def program_command(program: Path, shot: Shot, picture: Path) -> list[str]:
    """Return the program's command line that paints a shot into a PNG file; the shot's files are made."""
    return [*program_arguments(str(program), shot.request(SEED), str(picture)), "--threads", str(cores())]


def measure(build: BuildUnderTest, program: Path, *, rounds: int, command: str) -> Measurement:
    """Run a build's cases with the harness and with the program, in turn, and return the times.

    The program starts once for each case. The harness also makes the pictures to compare with, judges and records.
    The files are made beforehand, for both. Raises BuildFailed if the program paints no picture that the library
    paints, because the two then do not do the same work.
    """
    cases = [case for case in build.cases if isinstance(case, Case)]
    for shot in {shot: None for case in cases for shot in case.shots}:
        shot.request(SEED)
    timed: list[BenchRound] = []
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
            for place, case in enumerate(cases):
                run(program_command(program, case.shot, pictures / f"{place}.png"), quiet=True)
            taken = BenchRound(
                harness=round(middle - began, 2), program=round(time.perf_counter() - middle, 2)
            )
            timed.append(taken)
            console.note(f"   harness {taken.harness:.1f} s, program {taken.program:.1f} s")
        same = sum(_same(records, build, case, pictures / f"{place}.png") for place, case in enumerate(cases))
    if not same:
        raise BuildFailed(
            "the program paints no picture that the library paints", program, "compare them by hand"
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
        rounds=timed,
        cost=cost.summary(records),
    )


def _same(records: Records, build: BuildUnderTest, case: Case, path: Path) -> bool:
    seen = records.observations[build.side.identity, case.shot.name]
    if seen.picture is None or not path.exists():
        return seen.picture is None and not path.exists()
    with Image.open(path) as image:
        return bool(np.array_equal(np.asarray(image.convert("RGB")), records.pictures[seen.picture]))


def write(measured: Measurement) -> tuple[Path, Path]:
    """Write the measurement and the page and return their paths; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(RESULTS, json.dumps(asdict(measured), indent=1) + "\n")
    atomic_write.write(PAGE, page(measured))
    return RESULTS, PAGE


def read(path: Path = RESULTS) -> Measurement:
    """Return the measurement that ``write`` kept."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    return Measurement(**{**entry, "rounds": [BenchRound(**one) for one in entry["rounds"]]})


def page(measured: Measurement) -> str:
    """Return the page as Markdown."""
    cases, cores = measured.cases, measured.cores
    rows = [
        ("harness", [one.harness for one in measured.rounds], measured.rates(lambda one: one.harness)),
        (
            "upstream's program",
            [one.program for one in measured.rounds],
            measured.rates(lambda one: one.program),
        ),
    ]
    reached = "is reached" if measured.ratio >= GOAL else "is not reached"
    lines = [
        "# How fast it is",
        "",
        f"    {measured.command}",
        "",
        f"Upstream's own command-line program, built from the same source, starts once for each of {cases} cases and"
        f" uses all {cores} cores. The harness runs the same cases in one run. It also makes the pictures to compare"
        f" with ({measured.shots} pictures in all), judges the cases and writes the records. Both find the files ready."
        f" {measured.same} of the {cases} cases have the same result in both: the same picture, byte by byte, or none.",
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
        f"The harness runs **{measured.ratio:.1f} times** as many cases a minute (median of the rounds' ratios)."
        f" The goal of {GOAL:.0f} times {reached}.",
        "",
        f"The time of the last round: {measured.cost}. Making a picture is mostly waiting: upstream's loader checks"
        " every 0.2 s whether a file is read, three or four times for each adapter. Several workers a core use that"
        " time. The harness does the following once, not for each case: it starts Python, loads the library and the"
        " base model, paints the picture without an adapter and merges the references.",
        "",
        f"This page is made of [results/benchmark.json](../results/benchmark.json); `{COMMAND}` writes both.",
    ]
    return "\n".join(lines) + "\n"
