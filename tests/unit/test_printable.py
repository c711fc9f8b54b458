from __future__ import annotations

import pytest

from sdcpp.printable import printable

#: A title for the window, a cleared screen, a line of its own, and a reversed direction of writing.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nerror\x9b31m\u202egnp.exe\x7f\ud800"


def test_no_character_commands_a_terminal() -> None:
    shown = printable(HOSTILE)
    assert shown == r"\x1b]0;owned\x07\x1b[2J\r\nerror\x9b31m\u202egnp.exe\x7f\ud800"
    assert shown.isprintable()
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["", "ΔW × 1/2 é", "雪　景", "5\u00a0%", "🎨", "[red]"])
def test_visible_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_characters_can_be_kept() -> None:
    assert printable("a\tb\n\x07", "\n\t") == "a\tb\n\\x07"
