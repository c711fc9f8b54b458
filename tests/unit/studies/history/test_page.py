from __future__ import annotations

from harness.studies.history import chart, page, run, survey
from tests.unit.studies.history.history_rows import GROUPS


def test_the_page_and_its_chart_are_made_from_the_records() -> None:
    rows = run.load()
    command = f"run `{page.COMMAND}`"
    assert page.PAGE.read_text(encoding="utf-8") == page.page(rows, GROUPS, survey.load()), command
    assert page.CHART.read_text(encoding="utf-8") == chart.svg(rows, GROUPS), command
