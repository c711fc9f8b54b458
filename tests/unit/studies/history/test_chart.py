from __future__ import annotations

from xml.etree import ElementTree

from harness.records.verdict import Verdict
from harness.studies.history import chart
from tests.unit.studies.history.history_rows import GROUPS, NAMES, row


def test_the_chart_has_every_commit_and_marks_those_that_were_not_run() -> None:
    rows = {"0.2.4": row("0.2.4", Verdict.ABORT), "0.2.5": row("0.2.5", failed="no compiler")}
    chart_element = ElementTree.fromstring(chart.svg(rows, GROUPS))  # noqa: S314 - made here
    texts = ["".join(text.itertext()) for text in chart_element.iter("{http://www.w3.org/2000/svg}text")]
    for name in NAMES:
        assert sum(text.endswith(f" · {name}") for text in texts) == 1
    assert texts.count("not run") == len(GROUPS) - 2
    assert sum("not built" in text for text in texts) == 1
    titles = [title.text or "" for title in chart_element.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["0.2.4 pristine, rank-1, immediately: ABORT so <it> is"]
    assert "prefers-color-scheme: dark" in chart.svg(rows, GROUPS)
