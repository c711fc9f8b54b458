"""What the cases of one run have reached of the LoRA path of one build, and the file results/coverage.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.studies.coverage.counts import CountedLine
from harness.studies.coverage.parts import PARTS, Part, part_of
from sdcpp import atomic_write, project

RESULTS = project.ROOT / "results" / "coverage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of so many lines or branches have run."""

    run: int = 0
    total: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(run=self.run + other.run, total=self.total + other.total)

    @property
    def percent(self) -> float:
        """The percentage that has run; 100 of nothing."""
        return 100.0 * self.run / self.total if self.total else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCoverage:
    """The lines and branches of a function, or of those of its lines that belong to a part."""

    part: str
    file: str
    function: str
    lines: Share
    branches: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedLine:
    """A line of the LoRA path that has not run, or with a branch that was not taken.

    ``untaken`` is the number of branches that were not taken, of ``branches``, if the line has run; 0 otherwise.
    """

    part: str
    file: str
    function: str
    number: int
    text: str
    untaken: int = 0
    branches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The coverage of one build by the cases of one run.

    ``label`` names revision and side. ``verdicts`` are the numbers of cells with each verdict. ``missed`` has the lines
    that have not run, and ``partly`` those that ran with a branch that was not taken, both in the order of the files.
    """

    label: str
    revision: str
    backend: str
    command: str
    date: str
    compiler: str
    verdicts: Mapping[str, int]
    functions: Sequence[FunctionCoverage]
    missed: Sequence[MissedLine]
    partly: Sequence[MissedLine]

    def lines(self, part: str) -> Share:
        """Return the share of the lines of a part."""
        return sum((f.lines for f in self.functions if f.part == part), Share())

    def branches(self, part: str) -> Share:
        """Return the share of the branches of a part."""
        return sum((f.branches for f in self.functions if f.part == part), Share())


def summarise(
    lines: Iterable[CountedLine], parts: Sequence[Part] = PARTS
) -> tuple[list[FunctionCoverage], list[MissedLine], list[MissedLine]]:
    """Return the coverage of each function, the lines that have not run, and those that ran in part.

    All are in the order of ``parts`` and then of the lines. A line that has not run does not count as one with branches
    that were not taken, but its branches count.
    """
    order = [part.name for part in parts]
    chosen: list[tuple[str, CountedLine]] = []
    for line in lines:
        part = part_of(line.file, line.function, line.text, parts)
        if part is not None:
            chosen.append((part.name, line))
    chosen.sort(key=lambda pair: (order.index(pair[0]), pair[1].file, pair[1].number))
    shares: dict[tuple[str, str, str], tuple[Share, Share]] = {}
    missed, partly = [], []
    for name, line in chosen:
        taken = sum(count > 0 for count in line.branches)
        key = (name, line.file, line.function)
        of_lines, of_branches = shares.get(key, (Share(), Share()))
        shares[key] = (
            of_lines + Share(run=int(line.runs > 0), total=1),
            of_branches + Share(run=taken, total=len(line.branches)),
        )
        place = {"part": name, "file": line.file, "function": line.function, "number": line.number}
        if not line.runs:
            missed.append(MissedLine(**place, text=line.text))  # type: ignore[arg-type]
        elif taken < len(line.branches):
            untaken = len(line.branches) - taken
            partly.append(
                MissedLine(**place, text=line.text, untaken=untaken, branches=len(line.branches))  # type: ignore[arg-type]
            )
    functions = [
        FunctionCoverage(part=part, file=file, function=function, lines=of_lines, branches=of_branches)
        for (part, file, function), (of_lines, of_branches) in shares.items()
    ]
    return functions, missed, partly


def add(measurements: Iterable[Measurement], path: Path = RESULTS) -> list[Measurement]:
    """Write measurements into a file, in place of earlier ones of the same labels, and return all that it has then."""
    known = {one.label: one for one in (read(path) if path.exists() else ())}
    known |= {one.label: one for one in measurements}
    found = [known[label] for label in sorted(known)]
    atomic_write.write(path, "[\n" + ",\n".join(_text(one) for one in found) + "\n]\n")
    return found


def _text(measurement: Measurement) -> str:
    """Return a measurement as JSON with one entry of a list on each line."""
    data = asdict(measurement)
    lists = {key: data.pop(key) for key in ("functions", "missed", "partly")}
    head = json.dumps(data, ensure_ascii=False).removesuffix("}")
    parts = [
        f'"{key}": [\n' + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]"
        for key, entries in lists.items()
    ]
    return head + ",\n" + ",\n".join(parts) + "}"


def read(path: Path = RESULTS) -> list[Measurement]:
    """Return the measurements that ``add`` wrote."""
    return [_measurement(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _measurement(entry: dict[str, Any]) -> Measurement:
    functions = [
        FunctionCoverage(**{**one, "lines": Share(**one["lines"]), "branches": Share(**one["branches"])})
        for one in entry.pop("functions")
    ]
    missed = [MissedLine(**one) for one in entry.pop("missed")]
    partly = [MissedLine(**one) for one in entry.pop("partly")]
    return Measurement(**entry, functions=functions, missed=missed, partly=partly)
