from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from harness.judging import combined
from harness.reports import combined_page, templating
from tests.unit.example_records import example


def test_a_value_that_nobody_gives_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="headline"):
        templating.fill("combined.html.j2")


def test_values_are_escaped_and_the_style_is_not() -> None:
    text = combined_page.page(combined.combine([(Path("<script>.jsonl"), example())], ()))
    assert "&lt;script&gt;.jsonl" in text
    assert "<script>" not in text
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "color-scheme: light dark;" in style
    assert '"' in style
    assert "&#34;" not in style


def test_control_characters_are_shown_as_escapes() -> None:
    name = "a\x1b]0;owned\x07\u202e.jsonl"
    text = combined_page.page(combined.combine([(Path(name), example())], ()))
    assert r"a\x1b]0;owned\x07\u202e.jsonl" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
