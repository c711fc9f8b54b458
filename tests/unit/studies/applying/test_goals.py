from __future__ import annotations

from dataclasses import replace

import pytest

from harness.studies.applying.goals import results, same_pictures
from harness.studies.applying.peer import PeerCost
from tests.unit.studies.applying.examples import COST, STUDY

PICTURES = {"without": "a", "with": "b"}
RUNTIME = [
    replace(COST, side="pristine", step_more=0.02, pictures=PICTURES),
    replace(COST, step_more=0.002, again=0.002, pictures={"without": "a", "with": "c"}),
]
MERGED = [
    replace(cost, mode="immediately", rank=rank, size=rank * 750_000, first=first, step_more=0.0)
    for rank, seconds in ((16, (0.45, 0.04)), (128, (0.44, 0.09)))
    for cost, first in zip(RUNTIME, seconds, strict=True)
]
PEER = PeerCost(rank=16, load=0.4, fuse=0.05, unfuse=0.02, away=0.01, plain=0.1, with_adapter=0.15, memory=1)
MEASURED = replace(STUDY, costs=[*RUNTIME, *MERGED], peers=[PEER])


def test_each_goal_is_judged_by_the_worst_adapter() -> None:
    found = {result.goal: result for result in results(MEASURED)}
    small, large = found["load and merge 12 MB"], found["load and merge 96 MB"]
    assert (small.limit, small.reached, small.values) == (0.042, True, {"pristine": 0.45, "patched": 0.04})
    assert (large.limit, large.reached, large.adapter) == (0.08, False, "rank 128, F16")
    assert large.show(large.values["patched"]) == "0.090 s"
    step = found["a step with the adapter at run time"]
    assert step.values == pytest.approx({"pristine": 1.0, "patched": 0.1})
    assert step.reached
    assert found["the next picture with the adapter at run time: not longer"].reached


def test_diffusers_is_compared_by_rank() -> None:
    found = {goal: r for r in results(MEASURED) if (goal := r.goal.partition(":")[0]) != r.goal}
    assert found["load and merge"].values == pytest.approx({"pristine": 1.0, "patched": 0.04 / 0.45})
    assert found["load and merge"].reached
    assert not found["another multiplier"].reached
    assert found["a step at run time, what is added"].values["patched"] == pytest.approx(0.2)


def test_a_busy_machine_is_not_judged_and_neither_is_a_failure() -> None:
    slower = [*MEASURED.costs[1:], replace(MEASURED.costs[0], step=10 * MEASURED.costs[0].step)]
    assert not results(replace(MEASURED, costs=slower))
    assert not results(replace(STUDY, costs=[replace(COST, failure="crashed")]))


def test_loading_without_the_patches_counts_if_the_next_picture_fails() -> None:
    costs = [replace(cost, failure="crashed" if cost.side == "pristine" else "") for cost in MERGED]
    found = {result.goal: result for result in results(replace(MEASURED, costs=costs))}
    assert found["load and merge 12 MB"].values == {"pristine": 0.45, "patched": 0.04}
    again = found["the next picture with the adapter merged: not longer"]
    assert again.values.keys() == {"patched"}


def test_pictures_are_counted_that_are_the_same_without_the_patches() -> None:
    assert same_pictures(MEASURED) == (3, 6)
