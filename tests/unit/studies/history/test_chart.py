from __future__ import annotations

from xml.etree import ElementTree

from harness.records.verdict import Verdict
from harness.studies.history import chart
from tests.unit.studies.history.history_rows import GROUPS, NAMES, row


def test_the_chart_shows_every_commit_and_says_which_were_not_run() -> None:
    rows = {"0.2.4": row("0.2.4", Verdict.ABORT), "0.2.5": row("0.2.5", failed="no compiler")}
    drawn = ElementTree.fromstring(chart.svg(rows, GROUPS))  # noqa: S314 - our own
    texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for name in NAMES:
        assert sum(text.endswith(f" · {name}") for text in texts) == 1
    assert texts.count("not run") == len(GROUPS) - 2
    assert sum("not built" in text for text in texts) == 1
    titles = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["0.2.4 pristine, rank-1, immediately: ABORT so <it> is"]
    assert "prefers-color-scheme: dark" in chart.svg(rows, GROUPS)
