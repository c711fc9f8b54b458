"""The goals for the speed of the harness: the last figure of each, and for each missed one where the time goes.

The figures of the benchmark and of the converters are read from their records. Those of runs of other commands are in
``speed_goals.toml``, with the command, and so is what is known about goals that are missed.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.studies.conversion.speed import ConverterSpeed

PATH = Path(__file__).with_name("speed_goals.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedFigure:
    """The last measurement for a goal: the value, when and where it was made, and the command."""

    value: float
    date: str
    machine: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedGoal:
    """A goal: ``what`` is measured, the ``limit`` in ``unit``, and whether the value must be at least that (``least``).

    ``why`` says how the value was measured, and if the goal is missed where the time goes and what was tried.
    """

    what: str
    limit: float
    unit: str
    figure: SpeedFigure
    least: bool = False
    why: str = ""

    @property
    def reached(self) -> bool:
        """Whether the last figure reaches the goal."""
        return self.figure.value >= self.limit if self.least else self.figure.value <= self.limit


def read(measured: Mapping[str, SpeedFigure], path: Path = PATH) -> list[SpeedGoal]:
    """Return the goals of a file. ``measured`` has the figures of records, by the name that the file gives as record.

    A goal whose record does not exist is left out.
    """
    goals = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["goal"]:
        name = entry.pop("record", None)
        if name is None:
            figure = SpeedFigure(**{key: entry.pop(key) for key in ("value", "date", "machine", "command")})
        elif name in measured:
            figure = measured[name]
        else:
            continue
        goals.append(SpeedGoal(figure=figure, **entry))
    return goals


def of_converters(speed: ConverterSpeed, command: str) -> dict[str, SpeedFigure]:
    """Return the figures of a measurement of the converters, by record."""
    by_kind = {each.kind: each for each in speed.types}
    values = {
        "Q8_0": by_kind["Q8_0"].ratio("gguf-py", "ours"),
        "Q4_0": by_kind["Q4_0"].ratio("ours", "upstream"),
    }
    if speed.table:
        values["table"] = statistics.median(speed.table)
    machine = f"{speed.processor}, {speed.cores} cores"
    return {
        name: SpeedFigure(value=value, date=speed.date, machine=machine, command=command)
        for name, value in values.items()
    }


def section(goals: Sequence[SpeedGoal]) -> Iterator[str]:
    """Yield the lines of the section about the goals."""
    yield "## The goals"
    yield ""
    yield "| what | goal | last measured | when and where | command | |"
    yield "|---|---|---|---|---|---|"
    for goal in goals:
        figure = goal.figure
        yield (
            f"| {goal.what} | {'at least' if goal.least else 'at most'} {shown(goal.limit, goal.unit)}"
            f" | {shown(figure.value, goal.unit)} | {figure.date}, {figure.machine} | `{figure.command}`"
            f" | {'reached' if goal.reached else '**missed**'} |"
        )
    yield ""
    yield "How figures were measured, and for missed goals where the time goes and what was tried:"
    yield ""
    for goal in goals:
        if goal.why:
            yield f"- **{goal.what}**: {goal.why}"
    yield ""
    yield "What applying an adapter costs has [goals of its own](cost.md)."


def shown(value: float, unit: str) -> str:
    """Return a value with its unit, with three digits."""
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
