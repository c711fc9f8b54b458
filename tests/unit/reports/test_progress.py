from __future__ import annotations

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.reports import progress as module
from harness.reports.progress import Progress


@pytest.fixture(autouse=True)
def _no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the time that is left, also on a machine that stands still for a while."""
    monkeypatch.setattr(module, "PATIENCE", float("inf"))


def test_progress_in_a_pipe_is_a_line_now_and_then() -> None:
    console = Console(file=StringIO(), width=80, _environ={})
    with Progress(60, console) as progress:
        for number in range(60):
            progress.update(f"shot {number}", ["ABORT" if number % 20 == 0 else "PASS"])
    assert progress.summary == "PASS 57, ABORT 3"
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "25/60  PASS 23, ABORT 2  shot 24",
        "50/60  PASS 47, ABORT 3  shot 49",
        "60/60  PASS 57, ABORT 3",
    ]


def test_progress_in_a_pipe_shows_life_when_shots_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    console = Console(file=StringIO(), width=80, _environ={})
    with Progress(2, console) as progress:
        progress.update("first", [])
        progress.say("a [word] on the way")
        progress.update("second", ["PASS", "PASS"])
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "1/2  first",
        "a [word] on the way",
        "2/2  PASS 2  second",
    ]


def test_progress_on_a_terminal_is_one_bar() -> None:
    console = Console(file=StringIO(), width=120, force_terminal=True, color_system=None, _environ={})
    with Progress(2, console) as progress:
        progress.update("[first]", ["PASS"])
        progress.update("second", ["TIMEOUT"])
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2/2" in shown
    assert "PASS 1, TIMEOUT 1" in shown


def test_how_much_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 2.0)
    now = iter(range(0, 10_000, 60))  # a minute for each question
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    console = Console(file=StringIO(), width=80, _environ={})
    with Progress(3, console) as progress:
        progress.update("first", [])
        progress.update("second", ["PASS"])
        progress.update("third", [])
    first, second, third = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first == "1/3  about 6 min left  first"
    assert second.endswith(" min left  PASS 1  second")
    assert third == "3/3  PASS 1  third"
