from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.applying import goals, study
from harness.studies.applying import page as module
from harness.studies.applying.page import page
from harness.studies.applying.peer import PeerCost
from tests.unit.studies.applying.examples import COST, STUDY


def test_page_has_a_row_for_each_cost_and_the_floor() -> None:
    text = page([STUDY])
    row = (
        "| rank 16, F16 | 12 | at_runtime | patched | 0.400 | 0.000 | 0.300 | 0.0100 (+50 %) | 0.020 | 100 |"
    )
    assert row in text
    assert "| 16 | 0.014 | 0.007 |" in text
    assert STUDY.command in text
    assert "a card, 16 cores, 16 threads, 2026-11-29. 160 layers" in text
    assert "3 rounds.\n" in text
    assert "in the same run. *step*" not in text


def test_every_goal_that_a_record_misses_has_a_reason_on_the_page() -> None:
    studies = study.read(module.RESULTS)
    missed = {result.goal for each in studies for result in goals.results(each) if not result.reached}
    assert missed <= module.reasons().keys()
    text = page(studies)
    assert all(f"- **{goal}**: " in text for goal in missed)
    assert "not known yet" not in text


def test_page_adds_the_memory_of_the_card() -> None:
    cost = replace(COST, card=5_000_000_000, card_with=5_096_000_000)
    assert "| 0.020 | 100 + 96 |" in page([replace(STUDY, costs=[cost])])


def test_page_says_if_the_adapter_does_nothing() -> None:
    same = {"without": "a", "with": "a", "changed": "a", "away": "a"}
    assert "at_runtime, **no effect** |" in page([replace(STUDY, costs=[replace(COST, pictures=same)])])
    other = same | {"with": "b"}
    assert "**no effect**" not in page([replace(STUDY, costs=[replace(COST, pictures=other)])])


def test_page_says_why_there_is_no_measurement() -> None:
    assert "| 0.400, then: crashed |" in page([replace(STUDY, costs=[replace(COST, failure="crashed")])])
    assert "| patched | crashed |" in page(
        [replace(STUDY, costs=[replace(COST, first=0.0, failure="crashed")])]
    )


def test_page_says_how_busy_the_machine_was_and_what_diffusers_took() -> None:
    peer = PeerCost(
        rank=16,
        load=0.4,
        fuse=0.05,
        unfuse=0.02,
        away=0.01,
        plain=2.0,
        with_adapter=3.0,
        memory=4_000_000_000,
        size=12_000_000,
    )
    text = page([replace(STUDY, load=7.25, peers=[peer])])
    assert "3 rounds. Before the measurement 7.2 processes wanted a core.\n" in text
    assert "busy with other work" not in text
    assert "busy with other work" in page([replace(STUDY, load=7.25, cores=2)])
    assert "| 16 | 12 | 0.400 | 0.050 | 0.020 | 1.0000 (+50 %) | 0.010 | 4000 |" in text


def test_the_page_is_made_from_the_stored_measurement() -> None:
    wanted = page(study.read(module.RESULTS))
    assert module.PAGE.read_text(encoding="utf-8") == wanted, (
        "run sdcpp bench --apply --recorded --write-docs"
    )


def test_the_page_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", tmp_path / "docs" / "cost.md")
    assert module.write([STUDY]).read_text(encoding="utf-8") == page([STUDY])


def test_the_first_lines_say_which_goals_are_reached() -> None:
    first = page([replace(STUDY, costs=[replace(COST, step_more=0.001)])]).split("## ", maxsplit=1)[0]
    assert "**sd1 on cuda, 2026-07: with the patches 2 of 2 goals are reached.**" in first
    row = "| a step with the adapter at run time | +15.0 % | +5.0 % |  | rank 16, F16 | reached |"
    assert row in first
    assert "**missed**" in page([STUDY])
    assert "the goals are not judged" in page([replace(STUDY, load=100.0)])
