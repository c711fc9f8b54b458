from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdcpp import console


def test_messages_and_results_have_their_own_streams(capsys: pytest.CaptureFixture[str]) -> None:
    console.out.print("a result")
    console.note("a [message]")
    console.warn("careful")
    console.error(ValueError("wrong: [x]"))
    shown = capsys.readouterr()
    assert shown.out == "a result\n"
    assert shown.err == "a [message]\nwarning: careful\nerror: wrong: [x]\n"


def test_a_long_job_shows_some_lines_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_lines(enabled=True) as show:
        for number in range(1, 60):
            show(f"line {number}")
    assert capsys.readouterr().err == "line 1\nline 41\nline 59\n"
    with console.progress_lines(enabled=False) as show:
        show("line")
    assert capsys.readouterr().err == ""


def test_it_can_be_imported_without_standard_output() -> None:
    program = "import sys; sys.stdout = None; from sdcpp import console; console.out.print('lost')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("encoding", "animated"), [("utf-8", "⠋"), ("ascii", "-")])
def test_the_status_line_can_be_shown_in_any_encoding(
    monkeypatch: pytest.MonkeyPatch, encoding: str, animated: str
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", Terminal(shown, encoding=encoding, write_through=True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console, "err", Console(stderr=True, force_terminal=True))
    with console.progress_lines(enabled=True) as show:
        show("compiling")
        with console.progress_lines(enabled=True) as show_another:
            show_another("linking")
    with console.progress_lines(enabled=True) as show:
        show("testing")
    text = shown.getvalue().decode(encoding)
    assert animated in text
    assert "testing" in text
    assert "linking" not in text


def test_control_characters_are_shown_and_never_sent(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e"
    table = Table("name")
    table.add_row(hostile)
    table.add_row(Text(hostile))
    console.out.print(hostile, markup=False)
    console.out.print(Text(hostile))
    console.out.print(table)
    console.out.out(hostile)
    console.note(hostile)
    console.warn(hostile)
    console.error(ValueError(hostile))
    console.command(hostile, Path(hostile))
    with console.progress_lines(enabled=True) as show:
        show(hostile)
    shown = capsys.readouterr()
    for text, times in ((shown.out, 5), (shown.err, 6)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert text.count(r"\x1b[2J\u202e") == times


def test_a_terminal_gets_the_escapes_of_rich_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(
        console, "err", console.VisibleConsole(file=stream, force_terminal=True, highlight=False)
    )
    console.warn("\x1b[2J")
    with console.progress_lines(enabled=True) as show:
        show("compiling \x1b[2J")
        time.sleep(0.3)
    assert "\x1b[33mwarning:\x1b[0m \\x1b[2J\n" in stream.getvalue()
    assert "compiling \\x1b[2J" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
