from __future__ import annotations

import argparse
import shlex
from typing import cast

import pytest

from harness.cases import proposed
from harness.cases.build_under_test import BuildUnderTest
from harness.cli.main import main
from harness.cli.runs import cases_run, shell_command
from sdcpp.errors import NothingTried

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the command of each run, in place of builds and runs."""
    commands: list[str] = []

    def sides(arguments: argparse.Namespace, _: str, command: list[str], *__: object) -> None:
        commands.append(shell_command(arguments, command))
        raise NothingTried("no case", "all", "this is a test")

    monkeypatch.setattr("harness.cli.runs.all_sides", sides)
    return commands


@pytest.mark.parametrize(
    "words",
    [
        "verify",
        "verify --revision 2026-05 --case 'gguf-*'",
        "verify --matrix full --side patched --revision 0.2.9 --sanitize",
        "verify --side both --checkout /tmp --backend cuda -D CMAKE_CUDA_ARCHITECTURES=90",
        "verify --matrix quick --side pristine --where mode=auto",
        "verify --matrix core --case missing-file@at_runtime",
        "repeat --matrix full --side patched --revision 2026-05",
        "repeat --checkout /tmp",
    ],
)
def test_the_records_keep_the_command_that_was_typed(words: str, asked: list[str]) -> None:
    assert main(shlex.split(words)) == NothingTried.exit_code
    [command] = asked
    assert command.removeprefix("nox -s ").removeprefix("sdcpp ").replace("verify -- ", "verify ") == words


@pytest.mark.parametrize(
    ("former", "words"),
    [
        ("matrix", "nox -s verify -- --matrix full --side pristine"),
        ("matrix --both", "nox -s verify -- --matrix full"),
        (
            "matrix --patched --revision 0.2.9 --select 'lora-*'",
            "nox -s verify -- --matrix full --side patched --revision 0.2.9 --case 'lora-*'",
        ),
        ("regress", "nox -s verify -- --matrix quick"),
        ("regress --quick --patched", "nox -s verify -- --matrix quick --side patched"),
        ("regress --source=/tmp", "nox -s verify -- --matrix quick --side both --checkout /tmp"),
        ("stability --full --times 2", "sdcpp repeat --matrix full --side patched"),
        ("stability --source /tmp", "sdcpp repeat --side patched --checkout /tmp"),
    ],
)
def test_former_commands_run_what_they_did(former: str, words: str, asked: list[str]) -> None:
    assert main(shlex.split(former)) == NothingTried.exit_code
    assert asked == [words]  # a whole regress begins with the quick matrix


def test_a_run_on_a_change_says_what_its_cases_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    known = proposed.ProposedCases(cases=("a", "b"), mutants=40, noticed=30, revisions=("2026-07",))
    monkeypatch.setattr(proposed, "read", lambda: known)
    under = cast("BuildUnderTest", argparse.Namespace(cases=["a", "b", "c"]))
    assert cases_run("proposed", under) == (
        "3 cases of the proposed set; its smallest part, 2 cases, notices 30 of 40 generated mutants (75 %) of 2026-07"
    )
    assert cases_run("full", under) == "3 cases of the full set"
