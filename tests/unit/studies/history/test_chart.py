from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

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


def test_a_screen_reader_reads_the_chart_as_one_labelled_picture() -> None:
    root = ElementTree.fromstring(chart.svg({}, GROUPS))  # noqa: S314 - made here
    assert root.get("role") == "img"
    assert "upstream commit" in root.get("aria-label", "")


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` as WCAG 2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_letters_squares_and_texts_have_a_contrast_of_at_least_4_5(theme: int) -> None:
    style = chart.svg({}, GROUPS).partition("<style>")[2].partition("</style>")[0]
    rules = style.split("@media")[theme]
    colours = dict(re.findall(r"(\.?\w+) { fill: (#\w{6}) }", rules))
    assert len(colours) == len(chart.LOOKS) + 4
    for verdict in chart.LOOKS:
        assert contrast(colours[f".{verdict.lower()}"], colours[".on"]) >= 4.5, verdict
        assert contrast(colours[f".{verdict.lower()}"], colours[".ground"]) >= 4.5, verdict
    for text in ("text", ".faint"):
        assert contrast(colours[text], colours[".ground"]) >= 4.5
