from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cli import completion, main
from harness.cli.commands import CommandParser

#: Completes the last of the words that are its arguments, as bash does, and prints what is possible.
COMPLETE = """
source completion.sh
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
function=$(complete -p sdcpp | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function sdcpp "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
echo "${COMPREPLY[*]}"
"""


#: Words before the cursor, and what completes the last one.
CASES = [
    ("ver", "verify"),
    ("lora inf", "info"),
    ("verify --corp", "--corpus"),
    ("verify --corpus st", "style.gguf style.toml"),
    ("verify --revision 2026-0", "2026-05 2026-07"),
    ("lora try st", "style.gguf style.toml"),
    ("lora try --build st", "styles"),
    ("build --backend vul", "vulkan"),
]


def write_files(folder: Path, script: str) -> None:
    """Write a script of completion, and files and a folder that it can complete."""
    (folder / "completion.sh").write_text(script, encoding="utf-8")
    (folder / "style.gguf").touch()
    (folder / "style.toml").touch()
    (folder / "styles").mkdir()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(("words", "found"), CASES)
def test_bash_completes(words: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--print-completion", "bash"])
    assert ended.value.code == 0
    write_files(tmp_path, capsys.readouterr().out)
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", "sdcpp", *words.split()],  # noqa: S607 - the bash of the machine
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    possible = [word for word in done.stdout.split() if word != "styles" or "--build" in words]
    assert sorted(possible) == found.split()


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(("words", "found"), CASES)
def test_fish_completes(words: str, found: str, tmp_path: Path) -> None:
    write_files(tmp_path, completion.script(main.parser(), "fish"))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source completion.sh; complete -C 'sdcpp {words}'"],  # noqa: S607 - as above
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    possible = [line.partition("\t")[0].rstrip("/") for line in done.stdout.splitlines()]
    assert sorted(word for word in possible if word != "styles" or "--build" in words) == found.split()


@pytest.mark.parametrize("shell", main.SHELLS)
def test_every_shell_has_the_commands_and_options(shell: str) -> None:
    text = completion.script(main.parser(), shell)
    for word in ("verify", "try", "corpus", "cuda"):
        assert word in text


def test_every_value_that_is_a_file_is_completed() -> None:
    parser = main.parser()
    completion.script(parser, "bash")
    assert len(list(parser.loaded())) > len(main.COMMANDS)
    for each in parser.loaded():
        for action in each.arguments:
            if action.type is Path or "FILE" in str(action.metavar):
                assert hasattr(action, "complete"), action


def test_an_unknown_shell_and_an_unknown_command_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--print-completion", "sh"])
    assert "choose from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main.main(["verfy"])
    assert "did you mean verify?" in capsys.readouterr().err


def test_a_value_of_an_option_is_no_command() -> None:
    parser = CommandParser()
    parser.commands = main.COMMANDS
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("--value")
    parser.add_argument("command", nargs="?")
    assert parser.parse_args(["--flag", "--value", "x", "verify"]) == argparse.Namespace(
        flag=True, value="x", command="verify"
    )
