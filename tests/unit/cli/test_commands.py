from __future__ import annotations

import subprocess
import sys

import pytest

from harness.cli.commands import Command, CommandParser, add_commands
from harness.cli.main import COMMANDS, main
from sdcpp import project


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verfy"], "sdcpp: error: there is no command 'verfy'; did you mean verify?"),
        (
            ["lora", "convrt", "a", "b"],
            "sdcpp lora: error: there is no command 'convrt'; did you mean convert?",
        ),
        (
            ["patch", "xyzzy"],
            "there is no command 'xyzzy'; the commands are state, port, start, export, send, lint, check",
        ),
        (["mtrix"], "there is no command 'mtrix'; the commands are verify, "),
    ],
)
def test_a_mistyped_command_gets_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_only_the_chosen_command_is_imported() -> None:
    program = (
        "import sys\n"
        "from harness.cli.main import main\n"
        "try:\n"
        "    main([sys.argv[1], '--help'])\n"
        "except SystemExit:\n"
        "    print(*(name for name in sys.modules if name.startswith('harness.cli.')))\n"
        "    print('numpy' in sys.modules)\n"
    )

    def imported(word: str) -> tuple[set[str], str]:
        done = subprocess.run(
            [sys.executable, "-c", program, word], capture_output=True, text=True, check=True
        )
        *_, modules, numpy = done.stdout.splitlines()
        return {name for name in modules.split() if name in {c.module for c in COMMANDS.values()}}, numpy

    assert imported("--help") == (set(), "False")
    assert imported("doctor") == ({"harness.cli.doctor"}, "False")
    assert imported("lora") == ({"harness.cli.lora.verbs"}, "False")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sdcpp {project.version()}\n"


def test_former_spellings_become_the_present_ones_up_to_two_dashes() -> None:
    parser = CommandParser(prog="p")
    add_commands(parser, {"bundle": Command(module="harness.cli.build", summary="build")})
    found = parser.parse_args(["bundle", "--source=a=b", "--pristine", "-D", "A=--patched"])
    assert (str(found.checkout), found.side, found.options) == ("a=b", "pristine", [("A", "--patched")])
    with pytest.raises(SystemExit):
        parser.parse_args(["bundle", "--", "--pristine"])


def test_defaults_of_a_command_replace_those_of_its_options() -> None:
    parser = CommandParser(prog="p")
    command = Command(module="harness.cli.build", defaults={"side": "patched"})
    add_commands(parser, {"former": command, "build": Command(module="harness.cli.build")})
    assert parser.parse_args(["former"]).side == "patched"
    assert parser.parse_args(["former", "--both"]).side == "both"
    assert parser.parse_args(["build"]).side == "both"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["lora", "inspect", "a", "--base-modle", "b"],
            "sdcpp lora inspect: error: unrecognized arguments: ",
        ),
        (["lora", "inspect", "a", "--base-modle", "b"], "--base-modle b; did you mean --base-model?"),
        (["lora", "convert", "a", "b", "--noclobber"], "--noclobber; did you mean --no-clobber?"),
        (["lora", "inspect", "a", "--xyzzy=1"], "unrecognized arguments: --xyzzy=1\n"),
    ],
)
def test_a_mistyped_option_gets_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
