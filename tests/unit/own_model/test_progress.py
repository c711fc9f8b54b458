from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.own_model import progress
from harness.own_model.progress import Steps, growing
from sdcpp import console


def test_steps_say_how_much_time_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2)
    steps.done("first: picture")
    steps.done("second: picture")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "1/2 first: picture after 0 s, about 0 s left"
    assert second == "2/2 second: picture after 0 s"


def test_hidden_steps_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2)
    with console.progress_hidden(when=True):
        steps.done("first: picture")
    steps.done("second: picture")
    assert capsys.readouterr().err == "2/2 second: picture after 0 s\n"


def test_a_short_step_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with growing(tmp_path, 100, "writing"):
        pass
    assert capsys.readouterr().err == ""


def test_the_size_of_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(bytes(50))
    line = progress._line(tmp_path, 100, "writing", time.monotonic() - 10)
    assert line == "writing: 0.0 of 0.0 GB, about 10 s left"


def test_several_steps_end_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    Steps(3).done("two of them", 2)
    assert capsys.readouterr().err.startswith("2/3 two of them after 0 s, about ")
