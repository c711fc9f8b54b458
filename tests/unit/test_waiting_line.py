from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from sdcpp import console, waiting_line
from sdcpp.waiting_line import counted, duration, left, part


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the time."""
    now = 0.0

    def at(seconds: float) -> None:
        nonlocal now
        now = seconds

    monkeypatch.setattr("sdcpp.waiting_line.time.monotonic", lambda: now)
    return at


def test_durations() -> None:
    assert [duration(seconds) for seconds in (3, 300, 7200)] == ["3 s", "5 min", "2.0 h"]
    assert left(1, 4, 100) == ", about 5 min left"
    assert left(0, 4, 100) == ""


def test_a_log_gets_a_line_every_ten_seconds(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with counted("work", 100) as progress:
        for second in range(25):
            clock(second)
            progress(4 * second)
    assert capsys.readouterr().err.splitlines() == [
        "work: 8%, about 23 s left",
        "work: 48%, about 13 s left",
        "work: 88%, about 3 s left",
    ]


def test_a_text_is_not_made_before_it_is_shown(clock: Callable[[float], None]) -> None:
    def never() -> str:
        raise AssertionError

    with waiting_line.waiting_line() as show:
        clock(1.9)
        show(never)


def test_a_terminal_has_one_line(clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=file, force_terminal=True, color_system=None, width=60))
    with counted("[work]") as progress:
        progress(1, 2)
        assert file.getvalue() == ""
        clock(4)
        progress(1, 2)
        clock(6)
        progress(3, 4)
    assert "[work]: 75%, about 2 s left" in file.getvalue()


def test_the_progress_of_a_part_is_a_share_of_the_whole() -> None:
    seen: list[float] = []
    second = part(lambda done, of: seen.append(done / of), 0.5, 0.75)
    for done in (0, 2, 4):
        second(done, 4)
    part(second, 0, 0.5)(4, 4)
    second(0, 0)
    assert seen == [0.5, 0.625, 0.75, 0.625, 0.75]
