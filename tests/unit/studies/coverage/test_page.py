from __future__ import annotations

from dataclasses import replace

import pytest

from harness.studies.coverage import measurement as stored
from harness.studies.coverage import reasons
from harness.studies.coverage.page import COMMAND, NO_REASON, PAGE, page, write
from sdcpp import project
from sdcpp.errors import CheckoutNeeded
from tests.unit.studies.coverage.example import FILE, LINES, PARTS, measurement
from tests.unit.studies.coverage.test_reasons import REASON


def test_the_page_is_made_from_the_stored_measurements_and_reasons() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(stored.read(), reasons.load()), f"run `{COMMAND}`"


def test_an_installed_sdcpp_writes_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "INSTALLED", True)
    with pytest.raises(CheckoutNeeded, match="clone the project"):
        write([], [])


def test_the_page_says_what_was_run_and_which_goals_it_misses() -> None:
    text = page([measurement()], [], PARTS)
    assert "    sdcpp study coverage --matrix quick" in text
    assert "Run on 2026-01-02 with the backend cpu, built by GNU 12.2.0: 10 cells (9 PASS, 1 ABORT)." in text
    assert "| apply | 60 %, 90 % | 66.7 % of 3 | **50.0 % of 2** |" in text
    assert "2026-05 patched misses the goal for apply (branches 50.0 %)." in text
    assert f"| apply | `{FILE}` | `LoraModel::apply` | 2 of 3 | 1 of 2 |" in text


def test_a_run_that_reaches_its_goals_says_so() -> None:
    text = page([measurement(lines=[LINES[1]])], [], PARTS)
    assert "2026-05 patched reaches the goals." in text
    assert "| rest |  | not there | not there |" in text


def test_a_line_that_never_runs_has_its_reason_or_none() -> None:
    text = page([measurement()], [REASON], PARTS)
    assert "### Lines of the part apply that never run: 1, of which 0 have no reason" in text
    assert "### Lines of the part rest that never run: 1, of which 1 have no reason\n\n<details>" in text
    assert f"`LoraModel::apply` of `{FILE}`: every case has tensors" in text
    assert "    2  return false;" in text
    assert f"`LoraModel::rank` of `{FILE}`: {NO_REASON}" in text
    assert "    1  1 of 2  if (tensors.empty()) {" in text


def test_a_reason_whose_line_has_changed_is_listed() -> None:
    text = page([measurement(lines=[LINES[1]])], [REASON], PARTS)
    assert "### Reasons of 2026-05 patched without a line" in text
    assert "- `return false;`" in text


def test_measurements_have_columns_beside_each_other_and_sections_of_their_own() -> None:
    text = page([measurement(), measurement("2026-07 patched")], [], PARTS)
    assert "| part | goal | 2026-05 patched: lines | branches | 2026-07 patched: lines | branches |" in text
    assert "## 2026-05 patched\n" in text
    assert "## 2026-07 patched\n" in text


def test_branches_that_are_never_taken_are_grouped_by_their_reason() -> None:
    text = page([measurement()], [], PARTS)
    assert "### Branches of the part apply that are never taken: 1, of which 1 have no reason" in text
    assert f"1 branch: {NO_REASON}\n\n```text\n    1  1 of 2  if (tensors.empty()) {{" in text
    known = replace(REASON, lines=("if (tensors.empty()) {",), branches=True)
    text = page([measurement()], [known], PARTS)
    assert "### Branches of the part apply that are never taken: 1, of which 0 have no reason" in text
    assert f"1 branch: {known.reason}\n\n```text\n    1  1 of 2  if (tensors.empty()) {{" in text
    assert "without a line" not in text
