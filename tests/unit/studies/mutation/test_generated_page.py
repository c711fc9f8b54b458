from __future__ import annotations

from dataclasses import replace

from harness.studies.mutation.generated_page import sections
from harness.studies.mutation.kill_matrix import Reasons
from harness.studies.mutation.outcome import State
from tests.unit.studies.mutation.generated_outcomes import matrix, outcome


def test_without_a_kill_matrix_there_is_no_section() -> None:
    assert sections([]) == []


def test_the_section_counts_the_states_and_lists_what_is_not_noticed() -> None:
    found = matrix(
        outcome("one", "x/a@auto"),
        outcome("two", state=State.SURVIVED),
        outcome("three", state=State.CRASHED, crashes=("x/a@auto",)),
        outcome("four", state=State.UNBUILT),
        outcome("five", state=State.SURVIVED),
    ).with_reasons(Reasons(equivalent={outcome("five").id: "why"}, unnoticed={outcome("two").id: "yet"}))
    text = "\n".join(sections([found]))
    assert "1 of 3 mutants (33 %) are noticed, 1 show a crash alone, and 1 survive." in text
    assert "Of those that show a crash, 0 crash or hang in every case that ran" in text
    assert "The reason is known for 0 of those that show a crash and 1 of those that survive." in text
    assert "1 more mutant did not compile, and 1 cannot be noticed." in text
    assert "| operator | 1 | 1 | 1 | 1 | 1 |" in text
    assert "| `x/a@auto` | 1 |" in text
    rows = [line for line in text.splitlines() if line.startswith("| `lora.hpp:")]
    assert [row.split(":")[1] for row in rows] == ["two", "three", "five"]
    assert "a = b \\| c;" in rows[0]
    assert [row.rpartition(" | ")[2] for row in rows] == [
        "yet |",
        "crashed; 0 pictures of 5 cases differ |",
        "why |",
    ]


def test_the_section_says_how_many_cases_ran_on_a_mutant() -> None:
    found = replace(matrix(outcome("one", state=State.SURVIVED)), most=4)
    text = "\n".join(sections([found]))
    assert "At most 4 cases ran on each mutant, of as many kinds as possible, and on 1 that" in text
    assert " --most 4 --record\n" in text


def test_each_run_of_a_matrix_has_its_command() -> None:
    first = matrix(outcome("one", state=State.SURVIVED))
    text = "\n".join(sections([first.continued(replace(first, matrix="more"))]))
    assert "sdcpp study mutation --revision 2026-07 --seed 1 --count 1 --matrix full --all --record\n" in text
    assert "--seed 1 --survivors results/kill-matrix-2026-07.json --matrix more --record\n" in text


def test_the_section_tells_where_mutants_were_put_to_cases_of_their_own() -> None:
    first = replace(matrix(outcome("one", state=State.SURVIVED)), most=4)
    text = "\n".join(sections([first.continued(replace(first, targeted=("families",)))]))
    assert "`harness/studies/mutation/targeted.toml` names" in text
    assert "--survivors results/kill-matrix-2026-07.json --targeted --matrix families --record\n" in text
    assert "targeted.toml" not in "\n".join(sections([first]))
