from __future__ import annotations

import argparse
import shlex

import pytest

from harness.cases.matrix import Matrix
from harness.cli.main import main
from harness.cli.runs import shell_command
from sdcpp.errors import NothingTried
from sdcpp.machine import backends

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.mark.parametrize(
    "words",
    [
        "matrix --revision 2026-05 --select 'lora-*'",
        "matrix --both",
        "matrix --patched --revision 0.2.9 --sanitize",
        "regress --quick --patched --backend cuda -D CMAKE_CUDA_ARCHITECTURES=90",
        "regress --quick --pristine --where mode=auto",
        "stability --full --revision 2026-05",
    ],
)
def test_the_records_keep_the_command_that_was_typed(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def contenders(arguments: argparse.Namespace, _: Matrix, command: list[str], *__: object) -> None:
        asked.append(shell_command(arguments, command))
        raise NothingTried("no case", "all", "this is a test")

    monkeypatch.setattr("harness.cli.runs.all_sides", contenders)
    monkeypatch.setattr(backends, "require", lambda _: None)
    assert main(shlex.split(words)) == NothingTried.exit_code
    assert main(shlex.split(words.replace("--quick ", ""))) == NothingTried.exit_code
    assert asked == [f"sdcpp {words}"] * 2  # a whole regress begins with the quick matrix
