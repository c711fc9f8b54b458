from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from harness.cases.case import MODES, Case, plan_digest, select, unique_shots
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import QUICK

pytestmark = pytest.mark.usefixtures("cache_folder")


def cases(modes: Iterable[str]) -> list[Case]:
    return [case for case in QUICK.cases("C", modes, BlockQuantiser()) if isinstance(case, Case)]


@pytest.mark.parametrize(
    ("patterns", "count"),
    [([], 30), (["gguf-Q*"], 6), (["gguf-Q8_0@auto"], 1), (["none", "ckpt*"], 6), (["x"], 0)],
)
def test_selection_by_name_and_mode(patterns: list[str], count: int) -> None:
    assert len(select(cases(MODES), patterns)) == count


def test_shots_that_share_a_context_are_adjacent_and_earlier_cases_come_first() -> None:
    found = cases(MODES)
    for ordered in (found, found[::-1]):
        shots = unique_shots(ordered)
        assert len({shot.name for shot in shots}) == len(shots)
        modes = [shot.mode for shot in shots]
        changes = sum(before != after for before, after in pairwise(modes))
        assert changes == len(set(modes)) - 1
        assert modes[0] == ordered[0].shot.mode


def test_another_plan_has_another_digest() -> None:
    plans: list[list[object]] = [["a", "b"], ["ab"], ["b", "a"], ["a"], ["a", "b", "b"], [("a", "b")]]
    assert len({plan_digest(plan) for plan in plans}) == len(plans)


def test_the_digest_of_a_plan_is_the_one_of_earlier_versions() -> None:
    # An interrupted run is resumed, and a finished one reused, only while this stays the same.
    wanted = "f98ad2d2c5d14fe763dcab517173dca2b61608f32cb0037b37bbd859685b886e"
    assert plan_digest(["a", ("b", 1)]) == wanted
