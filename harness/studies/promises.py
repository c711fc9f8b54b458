"""The page docs/promises.md: what the project promises, area by area, and the figures of the last measurement.

Every figure is read from the records in results/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import record, understood_names
from harness.records.record import Records, Side
from harness.records.verdict import FAILING, NOT_JUDGED, Status, Verdict
from harness.reports.markdown import code, escape, head, row
from harness.studies import benchmark
from harness.studies.coverage import measurement as coverage
from harness.studies.coverage.parts import PARTS
from harness.studies.mutation import outcome, page
from harness.text import one_line
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "promises.md"
COMMAND = "sdcpp study promises --write-docs"
#: The folder with the records.
RESULTS = project.ROOT / "results"
_INTRODUCTION = f"""\
# What the project promises, and what was measured last

`{COMMAND}` makes this page from the records in [results/](../results). Nobody types a figure.
A promise that its last measurement does not keep is marked in bold.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The last measurement of one promise: what was measured, whether it keeps the promise, and how to repeat it."""

    subject: str
    text: str
    kept: bool
    date: str
    machine: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the project promises in one area, with its measurements and the page that has more."""

    area: str
    promise: str
    details: str
    figures: Sequence[Figure]


def write() -> Path:
    """Write the page and return its path; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, text())
    return PAGE


def text(folder: Path = RESULTS) -> str:
    """Return the page as Markdown, from the records in ``folder``."""
    sections = [_INTRODUCTION]
    for promise in promises(folder):
        sections += [
            f"## {promise.area}",
            "",
            f"{promise.promise} See [{promise.details}]({promise.details}).",
            "",
        ]
        sections += [
            *head(["what", "last measured", "when", "where", "command"]),
            *map(_row, promise.figures),
            "",
        ]
    return "\n".join(sections).rstrip() + "\n"


def promises(folder: Path) -> list[Promise]:
    """Return all promises with what is recorded in ``folder``."""
    return [
        Promise(
            area="LoRA files on the named revisions",
            promise="With the patches every LoRA that can be judged gives the picture of a base model into which it "
            "was merged beforehand, or fails as an expectation with a reason says; nothing fails unexpectedly.",
            details="support.md",
            figures=tuple(_patched(sorted(folder.glob("*.jsonl*")))),
        ),
        Promise(
            area="Other model families",
            promise="The same for small models of other families.",
            details="names.md",
            figures=tuple(_patched(sorted((folder / "families").glob("*.jsonl*")))),
        ),
        Promise(
            area="Names of trainers",
            promise="With the patches every name that a trainer gives a layer leads to that layer.",
            details="names.md",
            figures=tuple(_names(folder / "names.json")),
        ),
        Promise(
            area="The cases reach the LoRA path",
            promise="The cases run the share of lines and branches that is the goal of each part.",
            details="coverage.md",
            figures=tuple(_coverage(folder / "coverage.json")),
        ),
        Promise(
            area="The cases notice mistakes",
            promise="Each mistake that is written into the library is caught, and changes without effect are not "
            "reported.",
            details="mutants.md",
            figures=tuple(_mutants(folder / "mutants.json")),
        ),
        Promise(
            area="Speed",
            promise=f"The harness runs {benchmark.GOAL:.0f} times as many cases a minute as upstream's program.",
            details="benchmark.md",
            figures=tuple(_speed(folder / "benchmark.json")),
        ),
    ]


def _patched(files: Sequence[Path]) -> Iterator[Figure]:
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


def _names(path: Path) -> Iterator[Figure]:
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


def _coverage(path: Path) -> Iterator[Figure]:
    for one in coverage.read(path):
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


def _mutants(path: Path) -> Iterator[Figure]:
    rows = page.read(path)
    for revision in dict.fromkeys(one.revision for one in rows):
        states = [outcome.State(one.state) for one in rows if one.revision == revision]
        right = sum(state in outcome.WANTED for state in states)
        waiting = states.count(outcome.State.NOT_RUN)
        yield Figure(
            subject=revision,
            text=f"{right} of {len(states)} as wanted, {waiting} not run since they were changed",
            kept=right == len(states),
            date=max(one.date for one in rows if one.revision == revision),
            machine="",
            command="nox -s mutants",
        )


def _speed(path: Path) -> Iterator[Figure]:
    one = benchmark.read(path)
    yield Figure(
        subject=f"{one.cases} cases, {one.revision}",
        text=f"{one.ratio:.1f} times",
        kept=one.ratio >= benchmark.GOAL,
        date=one.date,
        machine=f"{one.processor}, {one.cores} cores",
        command=one.command,
    )


def _row(figure: Figure) -> str:
    shown = escape(figure.text) if figure.kept else f"**{escape(figure.text)}**"
    machine = escape(one_line(figure.machine))
    return row([escape(figure.subject), shown, figure.date or "–", machine or "–", code(figure.command)])
