from __future__ import annotations

from pathlib import Path

from harness.studies import benchmark, speed_goals
from harness.studies.conversion import speed
from harness.studies.speed_goals import SpeedFigure
from tests.unit.studies.conversion.test_speed import SPEED

GOALS = """
[[goal]]
what = "an hour"
limit = 60
unit = "s"
value = 61
date = "2026-01-02"
machine = "a machine"
command = "wait"
why = "It has 61 s."

[[goal]]
what = "a record"
record = "bench"
limit = 10
least = true
unit = "times"

[[goal]]
what = "another record"
record = "none"
limit = 10
unit = "s"
"""


def figure(value: float) -> SpeedFigure:
    return SpeedFigure(value=value, date="2026-02-03", machine="A processor, 2 cores", command="nox -s bench")


def test_goals_are_judged_by_their_last_figure_and_missed_ones_have_reasons(tmp_path: Path) -> None:
    path = tmp_path / "goals.toml"
    path.write_text(GOALS, encoding="utf-8")
    goals = speed_goals.read({"bench": figure(10.0)}, path)
    assert [(goal.what, goal.reached) for goal in goals] == [("an hour", False), ("a record", True)]
    text = "\n".join(speed_goals.section(goals))
    assert (
        "| an hour | at most 60 s | 61 s | 2026-01-02, a machine | `wait` | **missed** |\n"
        "| a record | at least 10 times | 10 times | 2026-02-03, A processor, 2 cores | `nox -s bench` | reached |"
    ) in text
    assert "- **an hour**: It has 61 s." in text
    assert "- **a record**" not in text
    assert not speed_goals.read({"bench": figure(9.99)}, path)[1].reached


def test_figures_of_the_converters_are_those_of_their_section() -> None:
    figures = speed_goals.of_converters(SPEED, "sdcpp study converters")
    assert {name: each.value for name, each in figures.items()} == {"Q8_0": 5.0, "Q4_0": 1.25, "table": 19.0}
    assert figures["table"].machine == "A processor, 2 cores"


def test_every_goal_of_the_project_has_a_figure_and_every_missed_one_a_reason() -> None:
    figures = {"bench": benchmark.read().figure}
    figures |= speed_goals.of_converters(speed.read(), speed.COMMAND)
    goals = speed_goals.read(figures)
    assert len(goals) == speed_goals.PATH.read_text(encoding="utf-8").count("[[goal]]")
    assert [goal.what for goal in goals if not goal.reached and not goal.why] == []
