from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

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
