"""Which lines of the LoRA path each case reaches, from counters that each picture has for itself.

The study of generated mutants reads it: a mistake on a line is put only to the cases that reach the line.
"""

from __future__ import annotations

import json
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot, unique_shots
from harness.cases.proposed import case_id
from harness.cases.shot_request import ShotRequest
from harness.child_process.fork import in_forks
from harness.records.pictures import Pixels
from harness.records.record import Observation, Writer
from harness.reports.progress import Progress
from harness.running.preparer import Preparer
from harness.studies.coverage import counts
from harness.verification.batches import batches
from sdcpp import atomic_write
from sdcpp.building import coverage
from sdcpp.errors import FileInvalid
from sdcpp.process import cores

#: A token on a line without code of its own belongs to a statement that has some at most so many lines away.
_NEAR = 5
#: The folder with the counters of opening base models.
_OPENING = "opening"


@dataclass(frozen=True)
class Reach:
    """The cases that reach each line.

    ``cases`` are ids as ``case_id`` returns them. ``lines`` has for each file, by its path in the source tree, the
    numbers of the cases that reach a line; a line with code that no case reaches has none. A line that runs while a
    base model is opened is reached by all cases. ``bare`` has the lines of each file that run without an adapter, when
    a base model is opened or makes a picture.
    """

    revision: str
    cases: tuple[str, ...]
    lines: Mapping[str, Mapping[int, frozenset[int]]]
    bare: Mapping[str, frozenset[int]]

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        return {file: sorted(lines) for file, lines in self.lines.items()}

    def cases_of(self, file: str, line: int) -> frozenset[str]:
        """Return the ids of the cases that reach a line, or the statement that a line without code belongs to."""
        known = self.lines.get(file, {})
        return self._named(case for number in self._statement(file, line) for case in known[number])

    def without_adapter(self, file: str, line: int) -> bool:
        """Return whether a line, or the statement that it belongs to, also runs without an adapter."""
        return not self.bare.get(file, frozenset()).isdisjoint(self._statement(file, line))

    def lines_of(self, file: str) -> dict[str, frozenset[int]]:
        """Return the lines of a file that each case reaches, by the id of the case."""
        found: dict[int, set[int]] = {}
        for line, cases in self.lines.get(file, {}).items():
            for case in cases:
                found.setdefault(case, set()).add(line)
        return {self.cases[case]: frozenset(lines) for case, lines in found.items()}

    def _statement(self, file: str, line: int) -> list[int]:
        """Return the line if it has code, or else the lines with code that are close to it."""
        if line in self.lines.get(file, {}):
            return [line]
        numbers = self._numbers.get(file, [])
        place = bisect_left(numbers, line)
        return [number for number in numbers[max(0, place - 1) : place + 1] if abs(number - line) <= _NEAR]

    def _named(self, numbers: Iterable[int]) -> frozenset[str]:
        return frozenset(self.cases[number] for number in numbers)

    def write(self, path: Path) -> Path:
        """Write the reach to a JSON file and return its path; raises OutputRefused."""
        lines = {
            file: {number: sorted(cases) for number, cases in of_file.items()}
            for file, of_file in self.lines.items()
        }
        bare = {file: sorted(of_file) for file, of_file in self.bare.items()}
        entry = {"revision": self.revision, "cases": self.cases, "lines": lines, "bare": bare}
        atomic_write.write(path, json.dumps(entry, separators=(",", ":")) + "\n")
        return path


def read(path: Path) -> Reach:
    """Return the reach that ``Reach.write`` wrote; raises FileInvalid."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        lines = {
            file: {int(number): frozenset(map(int, cases)) for number, cases in of_file.items()}
            for file, of_file in entry["lines"].items()
        }
        bare = {file: frozenset(map(int, of_file)) for file, of_file in entry["bare"].items()}
        return Reach(revision=entry["revision"], cases=tuple(entry["cases"]), lines=lines, bare=bare)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileInvalid(
            f"not the reach of cases ({error})", path, "write it with `sdcpp study coverage --reach`"
        ) from error


def measure(
    made: BuildUnderTest,
    revision: str,
    folder: Path,
    *,
    tree: Path,
    texts: Mapping[str, Sequence[str]],
    jobs: int | None = None,
) -> Reach:
    """Run the pictures with an adapter of a build that counts, and return which lines each case reaches.

    Of the pictures without an adapter, one of each base model and mode runs.
    ``folder`` gets the counters; what it has is deleted. ``tree`` and ``texts`` are those of ``counts.collect``.
    Raises what running and ``counts.collect`` raise.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shots = [shot for shot in unique_shots(made.supported) if any(shot.sequence)]
    bare_shots = [
        shot for shot in unique_shots(made.supported) if shot == Shot(base=shot.base, mode=shot.mode)
    ]
    _run(made, [*bare_shots, *shots], folder, jobs)
    opening = folder / _OPENING
    coverage.add_notes(made.build, opening)
    objects = counts.objects_with(opening, tree, texts)
    cases = tuple(case_id(case) for case in made.supported)
    found: dict[str, dict[int, set[int]]] = {}
    bare: dict[str, set[int]] = {}

    def add(counted: Iterable[tuple[str, int, bool]], users: Iterable[int], *, without: bool = False) -> None:
        for file, number, runs in counted:
            reached = found.setdefault(file, {}).setdefault(number, set())
            if runs:
                reached.update(users)
                if without:
                    bare.setdefault(file, set()).add(number)

    opened = counts.collect(opening, tree, texts, branches=False)
    add(((line.file, line.number, line.runs > 0) for line in opened), range(len(cases)), without=True)
    users: dict[str, set[int]] = {}
    for number, case in enumerate(made.supported):
        for shot in case.shots:
            users.setdefault(shot.name, set()).add(number)
    names = {shot.name for shot in bare_shots}
    for name, counted in _read([*bare_shots, *shots], folder, objects, tree, texts):
        add(counted, users[name], without=name in names)
    lines = {
        file: {number: frozenset(reached) for number, reached in sorted(of_file.items())}
        for file, of_file in sorted(found.items())
    }
    of_files = {file: frozenset(numbers) for file, numbers in sorted(bare.items())}
    return Reach(revision=revision, cases=cases, lines=lines, bare=of_files)


def _read(
    shots: Sequence[Shot],
    folder: Path,
    objects: Sequence[Path],
    tree: Path,
    texts: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, list[tuple[str, int, bool]]]]:
    """Yield the name of each shot with the lines that its counters count, as file, number and whether it ran.

    Every core reads the counters of one shot after another in a fork, because decoding gcov's JSON takes most of the
    time.
    """

    count = min(cores(), len(shots))

    def read(part: int) -> bytes:
        found = []
        for shot in shots[part::count]:
            own = folder / _digest(shot)
            for notes in objects:
                if (own / notes).parent.is_dir():  # a picture that crashed has no counters
                    os.link(folder / _OPENING / notes, own / notes)
            counted = counts.collect(own, tree, texts, branches=False)
            found.append((shot.name, [(line.file, line.number, line.runs > 0) for line in counted]))
        return json.dumps(found).encode()

    for output in in_forks(read, count):
        yield from json.loads(output)


def _run(made: BuildUnderTest, shots: Sequence[Shot], folder: Path, jobs: int | None) -> None:
    """Make the pictures; the counters of each are written to a folder of its own, and those of opening to another."""
    found = batches(made, shots, jobs)
    with (
        coverage.counting_in(folder / _OPENING),
        Writer(folder / "records.jsonl") as writer,
        Preparer(shots, min(found[0].jobs, cores())) as prepare,
        Progress(len(shots)) as progress,
    ):

        def request(shot: Shot, seed: int) -> ShotRequest:
            return replace(prepare(shot, seed), counters=str((folder / _digest(shot)).resolve()))

        def seen(observation: Observation, _: Pixels | None) -> None:
            progress.update(observation.shot, [])

        for batch in found:
            batch.run(made, writer, prepare=request, seen=seen)


def _digest(shot: Shot) -> str:
    """Return the name of the folder with the counters of a shot."""
    return sha256(shot.name.encode()).hexdigest()[:16]
