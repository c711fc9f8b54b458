from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cli import repeat as command
from harness.cli import runs
from harness.cli.main import main
from harness.studies import repeat as study
from sdcpp.binding.build_folder import Build
from tests.unit import killable_run

#: So many cases are run in each round.
CASES = 3


@pytest.fixture(autouse=True)
def _one_side_of_the_fake_library(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def all_sides(*_: object) -> Iterator[list[BuildUnderTest]]:
        build = killable_run.build_under_test(fake_build("C"))
        yield [replace(build, cases=build.cases[:CASES])]

    monkeypatch.setattr(runs, "all_sides", all_sides)


def test_rounds_that_agree_exit_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", "--repeat", "1", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{CASES + 1} pictures in 2 rounds: 0 differences\n"
    assert "round 1 of 2, 1 worker" in shown.err
    assert "round 2 of 2, 2 workers" in shown.err


def test_differences_are_printed_with_their_round_and_exit_with_another_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter([[], ["a shot: picture, then crashed"]])
    monkeypatch.setattr(study, "differences", lambda *_: next(found))
    words = ["repeat", "--repeat", "2", "--jobs", "2", "--output", str(tmp_path)]
    assert main(words) == command.UNSTABLE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "round 2 (2 workers): a shot: picture, then crashed"
    assert lines[1].endswith("in 2 rounds: 1 differences")
