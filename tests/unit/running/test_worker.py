from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest
from harness.running.protocol import OPENED, ShotReply, split
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable
from tests.unit.running.worker_program import program

FORKED = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")),
]


@pytest.mark.parametrize("forks", FORKED)
def test_each_request_has_a_reply_for_the_open_context_and_one_with_the_picture(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, *, forks: bool
) -> None:
    with program(fake_build("C"), forks=forks) as worker:
        for number in (1, 2):
            worker.ask(request_of_nothing)
            assert worker.reply()[1].outcome == OPENED
            answered, reply = worker.reply()
            assert (answered, reply.outcome, set(reply.seconds)) == (number, "picture", {"open", "generate"})


@pytest.mark.parametrize("forks", FORKED)
def test_a_mistake_of_the_worker_is_no_crash_of_the_library(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, *, forks: bool
) -> None:
    with program(fake_build("C"), forks=forks) as worker:
        worker.ask(replace(request_of_nothing, generation={"nonsense": 1}))
        assert worker.outcomes(2) == [(1, OPENED), (1, "failed")]
        worker.ask(request_of_nothing)
        assert worker.outcomes(2) == [(2, OPENED), (2, "picture")]


def test_a_library_that_cannot_be_loaded_is_the_only_reply(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "harness.running.worker", str(tmp_path), "cpu", "1"]
    done = subprocess.run(words, input=b"", capture_output=True, check=False)
    number, line = split(done.stdout)
    assert (number, ShotReply.from_line(line).outcome) == (0, "failed")
    assert done.returncode == LibraryUnusable.exit_code
