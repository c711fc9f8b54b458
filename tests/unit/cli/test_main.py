from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import doctor
from harness.cli.main import main
from sdcpp.errors import Bug, ToolMissing


def fails(monkeypatch: pytest.MonkeyPatch, problem: BaseException, command: str = "doctor") -> int:
    """Return the exit status of a command that ends with an exception."""

    def fail(_: object) -> int:
        raise problem

    monkeypatch.setattr(f"harness.cli.{command}.main", fail)
    return main(command.split("."))


def test_the_status_is_what_the_command_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "main", lambda _: 7)
    assert main(["doctor"]) == 7


def test_an_error_becomes_its_message_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(monkeypatch, ToolMissing("what", "subject", "remedy")) == ToolMissing.exit_code
    assert capsys.readouterr() == ("", "error: what: subject\n  remedy\n")


def test_any_other_exception_is_a_bug_and_no_traceback(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(monkeypatch, ZeroDivisionError("by zero")) == Bug.exit_code
    said = capsys.readouterr().err
    [log] = (cache_folder / "logs").iterdir()
    assert said.startswith(
        "error: this is a bug in sdcpp: ZeroDivisionError: by zero\n  a log was written to "
    )
    assert str(log) in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("doctor", "interrupted: no incomplete output is left behind\n"),
        ("verify", "interrupted: what is finished is kept; run the same command again to go on from there\n"),
        ("build", "interrupted: what is finished is kept; run the same command again to go on from there\n"),
    ],
)
def test_an_interrupted_command_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert fails(monkeypatch, KeyboardInterrupt(), command) == 130
    assert capsys.readouterr().err == said


#: Runs a command that makes a folder, prints its path and waits.
WAITS = """
import sys, tempfile, time
from harness.cli import doctor, main
def wait(_):
    with tempfile.TemporaryDirectory() as folder:
        print(folder, flush=True)
        time.sleep(60)
doctor.main = wait
sys.argv = ["sdcpp", "doctor"]
main.run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there, a program that is ended gets no signal")
def test_a_command_that_is_ended_from_outside_removes_its_temporary_files() -> None:
    words = [sys.executable, "-c", WAITS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "interrupted: no incomplete output is left behind\n"
    assert not folder.exists()


def test_an_interrupted_conversion_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.lora.inspect.main", interrupt)
    assert main(["lora", "inspect", "file"]) == 130
    assert capsys.readouterr().err == "interrupted: no incomplete output is left behind\n"
