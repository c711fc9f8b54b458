from __future__ import annotations

from pathlib import Path

from harness.cases import proposed
from harness.studies.mutation import smallest
from harness.studies.mutation.outcome import State
from tests.unit.studies.mutation.generated_outcomes import matrix, outcome


def test_the_case_that_notices_the_most_comes_first() -> None:
    killers = {"1": ["a", "b"], "2": ["b"], "3": ["b", "c"], "4": ["c"], "5": []}
    assert smallest.greedy_cover(killers) == [("b", 3), ("c", 1)]
    assert smallest.greedy_cover({}) == []


def test_equals_are_chosen_by_name_so_that_the_file_is_the_same_each_time() -> None:
    assert smallest.greedy_cover({"1": ["b", "a"], "2": ["a", "b"]}) == [("a", 2)]


def test_the_written_set_notices_what_all_cases_notice(tmp_path: Path) -> None:
    found = matrix(
        outcome("one", "x/a@auto", "x/b@auto"),
        outcome("two", "x/b@auto"),
        outcome("three", state=State.SURVIVED),
        outcome("four", state=State.UNBUILT),
    )
    written = proposed.read(smallest.write([found], tmp_path / "cases.json"))
    assert written.cases == ("x/b@auto",)
    assert (written.noticed, written.mutants, written.revisions) == (2, 3, ("2026-07",))
    assert "2 of 3 generated mutants (67 %)" in written.sentence
    empty = proposed.read(
        smallest.write([matrix(outcome("one", state=State.SURVIVED))], tmp_path / "none.json")
    )
    assert empty.cases == ()
