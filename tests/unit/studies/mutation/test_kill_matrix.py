from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.mutation import generated, kill_matrix
from harness.studies.mutation.kill_matrix import Reasons
from harness.studies.mutation.outcome import State
from sdcpp.errors import FileInvalid
from tests.unit.studies.mutation.generated_outcomes import matrix, outcome

MATRIX = matrix(
    outcome("one", "x/b@auto", "x/a@auto", crashes=("x/c@auto",)),
    outcome("two", state=State.SURVIVED),
    outcome("three", state=State.UNBUILT),
)


def test_a_matrix_is_read_as_written(tmp_path: Path) -> None:
    path = kill_matrix.write(MATRIX, kill_matrix.path_of("2026-07", tmp_path))
    assert kill_matrix.read(path) == MATRIX
    assert kill_matrix.read_all(Reasons(), tmp_path) == [MATRIX]
    assert len(path.read_text().splitlines()) == 4 + len(MATRIX.outcomes)


def test_a_crash_is_no_killer_and_mutants_that_do_not_compile_do_not_count() -> None:
    assert MATRIX.outcomes[0].killers == ("x/b@auto", "x/a@auto")
    assert [one.function for one in MATRIX.counted] == ["one", "two"]
    assert kill_matrix.noticed([MATRIX], ["x/a@auto"]) == 1
    assert kill_matrix.noticed([MATRIX], ["x/c@auto"]) == 0


def test_a_survivor_with_a_reason_is_equivalent_and_a_noticed_mutant_is_not() -> None:
    reasons = {one.id: "why" for one in MATRIX.outcomes}
    found = MATRIX.with_reasons(Reasons(equivalent=reasons))
    assert [one.state for one in found.outcomes] == [State.CAUGHT, State.EQUIVALENT, State.UNBUILT]
    assert found.outcomes[1].error == "why"
    assert [one.function for one in found.counted] == ["one"]


def test_a_reason_for_a_mutant_that_could_be_noticed_leaves_it_a_survivor() -> None:
    two = MATRIX.outcomes[1]
    found = MATRIX.with_reasons(Reasons(unnoticed={two.id: "no case has it"}))
    assert found.outcomes[1] == replace(two, error="no case has it")
    assert found.with_reasons(Reasons()) == found


def test_a_mutant_always_crashes_if_no_case_makes_a_picture() -> None:
    crashes = tuple(f"x/{n}@auto" for n in range(5))
    assert outcome("one", state=State.CRASHED, crashes=crashes).always_crashes
    assert not outcome("one", state=State.CRASHED, crashes=crashes[1:]).always_crashes
    assert not outcome("one", *crashes).always_crashes


def test_survivors_that_are_put_to_more_cases_keep_their_place() -> None:
    assert [one.function for one in MATRIX.survivors] == ["two"]
    later = replace(matrix(outcome("two", "x/z@auto"), outcome("four")), matrix="more", cases=9, every=False)
    found = MATRIX.continued(later)
    assert [one.function for one in found.outcomes] == ["one", "two", "three", "four"]
    assert found.outcomes[1].killers == ("x/z@auto",)
    assert (found.matrix, found.cases, found.every) == ("full, then more", 9, False)
    assert found.continued(later).matrix == "full, then more"


def test_a_mutant_that_is_put_to_more_cases_keeps_what_was_seen_before() -> None:
    crashed = outcome("one", state=State.CRASHED, crashes=("x/a@auto",))
    found = crashed.joined(outcome("one", state=State.SURVIVED))
    assert (found.state, found.tried) == (State.CRASHED, 10)
    assert [notice.case for notice in found.notices] == ["x/a@auto"]
    noticed = crashed.joined(outcome("one", "x/a@auto", "x/b@auto"))
    assert (noticed.state, noticed.killers) == (State.CAUGHT, ("x/a@auto", "x/b@auto"))
    assert [notice.case for notice in noticed.notices] == ["x/a@auto", "x/b@auto"]


def test_targeted_cases_are_no_matrix_of_their_own() -> None:
    later = replace(matrix(outcome("two", "x/z@auto")), cases=2, targeted=("full",))
    found = MATRIX.continued(later).continued(later)
    assert (found.matrix, found.cases, found.targeted) == ("full", 5, ("full",))


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kill-matrix-x.json"
    path.write_text("[]")
    with pytest.raises(FileInvalid, match="kill matrix"):
        kill_matrix.read(path)


def test_the_kill_matrices_of_the_project_can_be_read() -> None:
    for found in kill_matrix.read_all(generated.reasons()):
        assert found.outcomes
