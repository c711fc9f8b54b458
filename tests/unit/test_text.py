from __future__ import annotations

import json
import xml.etree.ElementTree as ET

from harness import text

#: A title for the window, a cleared screen, an invalid character of XML, and a tag.
HOSTILE = "a\x1b]0;owned\x07\x1b[2J\n\x9b\u202e\ufffe\x00 <b>&\ud800 é"


def test_numbers_are_short_and_never_scientific() -> None:
    shown = [text.number(x) for x in (0, 0.00001, 0.00312, 0.7891, 1, 14.023, 123.4, 98765.0, float("nan"))]
    assert shown == ["0", "<0.0001", "0.0031", "0.79", "1", "14", "123", "98765", "nan"]


def test_foreign_text_is_one_line_without_control_characters() -> None:
    line = text.one_line("  two\r\nlines \t and " + HOSTILE)
    assert line.startswith(r"two lines and a\x1b]0;owned\x07\x1b[2J \x9b\u202e\ufffe\x00 <b>")
    assert line.isprintable()
    assert text.one_line("a" * 50, 10) == "a" * 9 + "…"


def test_xml_holds_any_text() -> None:
    element = ET.fromstring(f"<t>{text.xml_text(HOSTILE)}</t>")  # noqa: S314 - our own
    assert element.text == r"a\x1b]0;owned\x07\x1b[2J" "\n" r"\x9b\u202e\ufffe\x00 <b>&\ud800 é"
    assert not len(element)


def test_json_is_ascii_and_has_no_number_that_json_lacks() -> None:
    data = {HOSTILE: [HOSTILE, 1, 0.5, None, True], "nan": (float("nan"), float("inf"))}
    shown = text.json_text(data)
    assert shown.isascii()
    assert not set(shown) & {"\x1b", "\x07", "\x00", "\x7f"}
    assert json.loads(shown) == {HOSTILE: [HOSTILE, 1, 0.5, None, True], "nan": [None, None]}


def test_the_nearest_word_is_suggested() -> None:
    assert text.did_you_mean("q8_o", ["Q4_0", "Q8_0"]) == "; did you mean Q8_0?"
    assert text.did_you_mean("entirely else", ["Q4_0"]) == ""


def test_a_text_fits_if_one_of_the_patterns_matches_all_of_it() -> None:
    assert text.fits("gguf-Q8_0", ("none", "gguf-*"))
    assert not text.fits("a-gguf-Q8_0", ("none", "gguf-*"))
    assert not text.fits("GGUF-Q8_0", ("gguf-*",))
    assert not text.fits("", ())
