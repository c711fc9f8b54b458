"""How fast the harness is, beside what everyone else does: upstream's own program started once for each case."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import SEED, Case, Shot
from harness.cases.upstream_command import words
from harness.records.record import Records
from harness.verification.run import run_sides
from sdcpp import console
from sdcpp.errors import BuildFailed
from sdcpp.process import cores, run


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRound:
    """One round of both: seconds that the harness and the program took for the same cases."""

    harness: float
    program: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured: how many cases, how many shots the harness made for them, and the rounds.

    ``same`` counts the cases whose picture is the same to the byte from both. ``records`` are those of the last round.
    """

    cases: int
    shots: int
    same: int
    rounds: Sequence[BenchRound]
    records: Records

    def rates(self, side: Callable[[BenchRound], float]) -> list[float]:
        """Return the cases per minute of each round, for the harness or for the program."""
        return [60 * self.cases / side(one) for one in self.rounds]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: how many times as many cases a minute the harness tries."""
        return statistics.median(one.program / one.harness for one in self.rounds)


def comparable(cases: Sequence[object]) -> Iterator[Case]:
    """Yield the cases that the program can be asked, too: one picture with at most one adapter."""
    for case in cases:
        if isinstance(case, Case) and len(case.shot.sequence) == 1 and len(case.shot.sequence[0]) <= 1:
            yield case


def command(program: Path, shot: Shot, picture: Path) -> list[str]:
    """Return the program's command line for a shot, its picture going to a PNG file; its files are made."""
    return [*words(str(program), shot.request(SEED), str(picture)), "--threads", str(cores())]


def measure(contender: BuildUnderTest, program: Path, *, rounds: int) -> Measurement:
    """Try a contender's cases with the harness and with the program, in turn, and return what that took.

    A case is one start of the program; the harness makes the pictures to compare with as well, judges and records.
    Files are made beforehand, for both. Raises BuildFailed if the program makes other pictures than the library, since
    then the two are not the same work.
    """
    cases = [case for case in contender.cases if isinstance(case, Case)]
    for shot in {shot: None for case in cases for shot in case.shots}:
        shot.request(SEED)
    timed: list[BenchRound] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(1, rounds + 1):
            console.note(f"round {number} of {rounds}: {len(cases)} cases")
            began = time.perf_counter()
            records = run_sides(
                [contender], folder / f"round-{number}", title="benchmark", command="sdcpp bench", jobs=None
            )
            middle = time.perf_counter()
            pictures = folder / "pictures"
            shutil.rmtree(pictures, ignore_errors=True)
            pictures.mkdir()
            for place, case in enumerate(cases):
                run(command(program, case.shot, pictures / f"{place}.png"), quiet=True)
            timed.append(BenchRound(harness=middle - began, program=time.perf_counter() - middle))
            console.note(f"   harness {timed[-1].harness:.1f} s, program {timed[-1].program:.1f} s")
        same = sum(
            _same(records, contender, case, pictures / f"{place}.png") for place, case in enumerate(cases)
        )
    if not same:
        raise BuildFailed(
            "the program paints no picture that the library paints", program, "compare them by hand"
        )
    return Measurement(
        cases=len(cases), shots=len(records.observations), same=same, rounds=timed, records=records
    )


def _same(records: Records, contender: BuildUnderTest, case: Case, path: Path) -> bool:
    seen = records.observations[contender.side.identity, case.shot.name]
    if seen.picture is None or not path.exists():
        return seen.picture is None and not path.exists()
    with Image.open(path) as image:
        return bool(np.array_equal(np.asarray(image.convert("RGB")), records.pictures[seen.picture]))


def markdown(bench: Measurement, asked: str) -> str:
    """Return docs/benchmark.md."""
    from harness.reports import cost

    run_, machine = bench.records.run, bench.records.run.machine
    side = next(iter(bench.records.sides.values()))
    harness, program = bench.rates(lambda r: r.harness), bench.rates(lambda r: r.program)
    rows = [
        ("harness", [r.harness for r in bench.rounds], harness),
        ("upstream's program", [r.program for r in bench.rounds], program),
    ]
    lines = [
        "# How fast it is",
        "",
        f"    {asked}",
        "",
        f"Upstream's own command-line program, built from the same tree, is started once for each of {bench.cases}"
        f" cases, with all {machine['cores']} cores; the harness tries the same cases in the same run, makes the"
        f" pictures to compare with ({bench.shots} pictures in all), judges and records. Files are there beforehand,"
        f" for both. {bench.same} of the {bench.cases} cases end alike: with a picture that is the same to the byte,"
        " or with none.",
        "",
        f"Revision {side.revision} unpatched, {machine['processor']}, {machine['cores']} cores, {run_.started[:10]}.",
        "",
        "| | seconds of each round | cases a minute, median |",
        "|---|---|---|",
        *(
            f"| {name} | {', '.join(f'{s:.1f}' for s in seconds)} | {statistics.median(rates):.0f} |"
            for name, seconds, rates in rows
        ),
        "",
        f"The harness tries **{bench.ratio:.1f} times** as many cases a minute (median of the rounds' ratios).",
        "",
        f"Where its time goes, last round: {cost.line(bench.records)}. Making a picture is mostly waiting: upstream's"
        " loader looks every 0.2 s whether a file is read, three or four times for an adapter. Several workers a core"
        " use that time. What is done once, not for each case: starting Python, loading the library and the base"
        " model, the picture without an adapter, the merged references.",
    ]
    return "\n".join(lines) + "\n"
