from __future__ import annotations

from dataclasses import replace

from harness.studies.applying.page import page
from tests.unit.studies.applying.examples import COST, STUDY


def test_page_has_a_row_for_each_cost_and_the_floor() -> None:
    text = page([STUDY])
    row = (
        "| rank 16, F16 | 12 | at_runtime | patched | 0.400 | 0.000 | 0.300 | 0.0100 (+50 %) | 0.020 | 100 |"
    )
    assert row in text
    assert "| 16 | 0.014 | 0.007 |" in text
    assert STUDY.command in text


def test_page_says_why_there_is_no_measurement() -> None:
    assert "crashed" in page([replace(STUDY, costs=[replace(COST, failure="crashed")])])
