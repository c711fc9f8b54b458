"""The report on a proposed change: only what changed stands in the open, and it is never called better than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from harness.records.record import Cell, Records
from harness.records.verdict import Status, Verdict
from harness.reports import before_after, html, junit, pull_request, terminal
from harness.reports.headline import headline
from harness.reports.table import arrange
from tests.unit.example_records import example, side

FACTS: Mapping[str, Any] = {
    "before": "0123456789 upstream's: merge base with origin/master",
    "after": "abcdefabcd fix: mine and uncommitted work in 1 file",
    "commits": [["abcdefabcd" * 4, "fix: mine | <b>"]],
    "uncommitted": ["src/new.cpp"],
    "files": [["src/lora.hpp", 3, 1], ["picture.png", None, None]],
    "same": 0,
}
NAME = "2026-05"


def proposed(*verdicts: tuple[Verdict, Verdict], facts: Mapping[str, Any] = FACTS) -> Records:
    """Return the records of a change with one case for each pair of verdicts, before and after."""
    records = example()
    records.run = replace(records.run, proposal={NAME: facts})
    records.sides.clear()
    records.cells.clear()
    for patched, label in ((False, "before"), (True, "after")):
        build = replace(side(NAME, patched=patched), label=f"{NAME} {label}")
        records.sides[build.label] = build
        for number, both in enumerate(verdicts):
            verdict = both[patched]
            records.cells.append(
                Cell(
                    side=build.label,
                    case=f"case-{number}",
                    dimensions={"base": "flux-small", "mode": "auto", "type": f"T{number}"},
                    verdict=verdict,
                    status=Status.PASS if verdict is Verdict.PASS else Status.XFAIL,
                    error=0.01 if verdict is Verdict.PASS else None,
                    tolerance=0.04,
                    evidence="" if verdict is Verdict.PASS else "GGML_ASSERT(x) failed",
                    pictures={"got": "p"} if verdict is Verdict.PASS else {},
                    applying={
                        "seconds": 0.1 * (1 + patched),
                        "processor": 0.1,
                        "more": 0.01,
                        "memory": 2.0**20,
                    }
                    if verdict is Verdict.PASS
                    else {},
                )
            )
    return records


GOOD, DEAD, LOST, IDLE = Verdict.PASS, Verdict.ABORT, Verdict.NO_EFFECT, Verdict.MISDIRECTED


def test_the_report_says_which_cases_ran_and_what_they_notice() -> None:
    facts = {**FACTS, "cases": "114 cases of the proposed set; its smallest part notices most"}
    text = pull_request.render(arrange(proposed((GOOD, GOOD), facts=facts)))
    assert "- cases: 114 cases of the proposed set; its smallest part notices most\n" in text


def test_only_what_changed_stands_in_the_open() -> None:
    text = pull_request.render(arrange(proposed((DEAD, GOOD), (GOOD, GOOD), (LOST, LOST))))
    open_, _, folded = text.partition("<details>")
    assert text.startswith("**The change makes nothing worse: 1 fixed, 0 regressed, 2 unchanged.**")
    assert "| fixed | `case-0@auto` flux-small | ABORT [1] | PASS 0.01/0.04 |" in open_
    assert f"\n\n{pull_request.NUMBERS}\n\n[1] `GGML_ASSERT(x) failed`" in open_
    assert "case-1" not in open_
    assert "case-2" not in open_
    assert "flux-small: 1 of 1 cell that passed still pass, 1 with the same picture byte for byte" in open_
    assert "`src/lora.hpp` +3 −1, `picture.png` binary" in open_
    assert "All 6 cells" in folded
    assert "fix: mine \\| &lt;b>" in folded


def test_a_table_without_numbers_does_not_explain_them() -> None:
    assert pull_request.NUMBERS not in pull_request.render(arrange(proposed((LOST, DEAD))))


def test_medians_of_time_and_memory_with_their_ratio() -> None:
    text = pull_request.render(arrange(proposed(*[(GOOD, GOOD)] * 3)))
    costs = "| 100 -> 200 ms, ×2.00 | 100 -> 100 ms, ×1.00 | 10 -> 10 ms | 1 -> 1 MiB, ×1.00 | 3 |"
    assert f"| flux-small auto {costs}" in text


def test_fewer_than_three_cases_have_no_times() -> None:
    text = pull_request.render(arrange(proposed((GOOD, GOOD), (GOOD, GOOD))))
    assert "wall time" not in text
    assert "Medians" not in text


def test_a_regression_is_said_first_and_stands_first() -> None:
    table = arrange(proposed((DEAD, GOOD), (GOOD, Verdict.WRONG)))
    text = pull_request.render(table)
    assert text.startswith("**The change makes something worse: 1 fixed, 1 regressed, 0 unchanged.**")
    assert text.index("**regressed**") < text.index("| fixed |")
    assert "flux-small: 0 of 1 cell that passed still pass, 0 with" in text


def test_a_regression_of_upstream_has_the_commands_that_find_the_commit() -> None:
    broken = [(Verdict.PASS, Verdict.WRONG)] * 10
    facts = {
        **FACTS,
        "commits": [[f"{number:040}", "subject"] for number in range(150)],
        "files": [],
        "compare": "https://example.org/compare/a...b",
        "bisect": ["sdcpp", "bisect", "--upstream", "--good", "a", "--bad", "b"],
    }
    records = proposed(
        *broken, (Verdict.REFUSED, Verdict.ABORT), (Verdict.PASS, Verdict.UNJUDGED), facts=facts
    )
    records.sides = {label: replace(each, backend="vulkan") for label, each in records.sides.items()}
    text = pull_request.render(arrange(records))
    search = "sdcpp bisect --upstream --good a --bad b --backend vulkan --case case-{}@auto --base-model flux-small\n"
    for number in range(8):
        assert search.format(number) in text
    assert text.count("sdcpp bisect") == 8, "not for a case that the command cannot search for"
    assert "# 2 more cases\n" in text
    assert "- change: 150 commits: https://example.org/compare/a...b\n" in text
    assert "- 50 more commits\n" in text
    assert "bisect" not in pull_request.render(arrange(proposed(*broken)))


def test_states_with_names_of_their_own_stand_in_the_headline() -> None:
    records = proposed((Verdict.PASS, Verdict.PASS))
    for old, new in (("before", "2026-07"), ("after", "97d2998 (2026-08-19)")):
        build = records.sides.pop(f"{NAME} {old}")
        records.sides[f"{NAME} {new}"] = replace(build, label=f"{NAME} {new}")
    records.cells = [
        replace(cell, side=cell.side.replace("before", "2026-07").replace("after", "97d2998 (2026-08-19)"))
        for cell in records.cells
    ]
    table = arrange(records)
    said = headline(table, before_after.pairs(table))
    names = f"{NAME}, 2026-07 -> 97d2998 (2026-08-19)"
    assert said == f"The change makes nothing worse: {names}: 0 fixed, 0 regressed, 1 unchanged"


def test_what_could_not_be_tried_is_never_called_good() -> None:
    table = arrange(proposed((IDLE, IDLE)))
    assert headline(table, before_after.pairs(table)).startswith("No case was tested")
    assert not any(change.tried for change in before_after.changes(table, before_after.pairs(table)[0]))


def test_what_is_not_judged_has_its_number_and_its_reasons() -> None:
    table = arrange(proposed(*[(GOOD, GOOD)] * 40, (IDLE, IDLE), (IDLE, GOOD), (IDLE, LOST)))
    text = pull_request.render(table)
    assert text.startswith(
        "**The change makes nothing worse: 0 fixed, 0 regressed, 1 not judged, "
        "2 not judged before (1 of them pass now), 40 unchanged.**"
    )
    assert "- not judged: 1 case: `GGML_ASSERT(x) failed`\n" in text
    assert "| judged now | `case-42@auto` flux-small | MISDIRECTED [1] | NO_EFFECT [1] |" in text


def test_a_refusal_on_both_sides_is_not_judged() -> None:
    refused = Verdict.REFUSED
    table = arrange(proposed((refused, refused), (GOOD, GOOD)))
    assert "0 fixed, 0 regressed, 1 not judged, 1 unchanged" in headline(table, before_after.pairs(table))
    nothing = arrange(proposed((refused, refused)))
    assert headline(nothing, before_after.pairs(nothing)).startswith("No case was tested")


def test_a_case_that_is_no_longer_judged_is_a_regression() -> None:
    text = pull_request.render(arrange(proposed(*[(GOOD, GOOD)] * 40, (GOOD, IDLE))))
    assert text.startswith(
        "**The change makes something worse: 0 fixed, 1 regressed (1 of them not judged any more), 40 unchanged.**"
    )


def test_a_change_of_which_too_little_is_judged_is_not_called_good() -> None:
    records = proposed((GOOD, GOOD), (IDLE, IDLE))
    records.cells = [
        replace(cell, status=Status.SKIPPED) if cell.verdict is IDLE else cell for cell in records.cells
    ]
    assert pull_request.render(arrange(records)).startswith(
        "**The change cannot be judged: 1 of 2 cells on 2026-05 before is not judged, more than 5%; "
        "1 of 2 cells on 2026-05 after is not judged, more than 5%; "
        "0 fixed, 0 regressed, 1 not judged, 1 unchanged.**"
    )


def test_a_change_that_compiles_to_the_same_says_that_nothing_was_run() -> None:
    text = pull_request.render(arrange(proposed(facts={**FACTS, "same": 30})))
    assert "0 fixed, 0 regressed, 30 unchanged (not run: both states compile to the same objects)" in text


def test_an_unfinished_run_says_so() -> None:
    records = proposed((GOOD, GOOD))
    records.finished = ""
    assert pull_request.render(arrange(records)).startswith("**Incomplete run, so far")


def test_the_other_reports_speak_of_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    records = proposed((DEAD, GOOD))
    terminal.print_table(records, Console(width=120))
    assert f"{NAME}, before -> after: 1 fixed, 0 regressed" in capsys.readouterr().out
    table = arrange(records)
    assert f"{NAME}, before → after" in html.render(table)
    assert f'classname="{NAME} before"' in junit.render(table)
