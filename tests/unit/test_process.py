from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdcpp import process
from sdcpp.errors import ToolMissing


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_status_and_both_streams_in_order() -> None:
    program = """
import sys
for n in range(3):
    print("out", n, flush=True)
    print("err", n, file=sys.stderr)
sys.exit(7)
"""
    done = process.run(python(program))
    assert done.status == 7
    assert done.output == "out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2\n"
    assert done.errors == ""


def test_streams_apart() -> None:
    done = process.run(python("import sys; print('out'); print('err', file=sys.stderr)"), apart=True)
    assert (done.output, done.errors) == ("out\n", "err\n")


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    program = "import sys; sys.stdout.buffer.write(b'a\\xffb')"
    assert process.run(python(program)).output == "a\ufffdb"
    assert os.fsencode(process.run(python(program), apart=True).output) == b"a\xffb"


def test_environment_is_added_to_and_taken_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDCPP_TEST_KEPT", "kept")
    monkeypatch.setenv("SDCPP_TEST_GONE", "gone")
    program = "import os; print(sorted((k, v) for k, v in os.environ.items() if k.startswith('SDCPP_TEST')))"
    done = process.run(python(program), env={"SDCPP_TEST_NEW": "new", "SDCPP_TEST_GONE": None})
    assert done.output == "[('SDCPP_TEST_KEPT', 'kept'), ('SDCPP_TEST_NEW', 'new')]\n"


def test_standard_input_is_the_given_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"some input")
    program = "import sys; print(repr(sys.stdin.read()))"
    assert process.run(python(program), stdin=tmp_path / "in").output == "'some input'\n"
    assert process.run(python(program)).output == "''\n"


def test_the_command_is_printed_unless_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    process.run([sys.executable, "-c", "pass # two words"])
    assert "-c 'pass # two words'" in capfd.readouterr().err
    process.run([sys.executable, "-c", "pass"], quiet=True)
    assert capfd.readouterr().err == ""


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="program not found: no-such-program"):
        process.run(["no-such-program", "--version"])
    with pytest.raises(FileNotFoundError):  # a missing folder is another matter
        process.run([sys.executable, "--version"], cwd=tmp_path / "absent")


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    for broken in (program, tmp_path, program / "below"):
        with pytest.raises(ToolMissing, match=f"^program .*: {broken}\n  .*install"):
            process.run([broken], quiet=True)


def test_what_the_machine_refuses_is_not_blamed_on_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(BlockingIOError):
        process.run(["git", "--version"], quiet=True)


def test_which_prefers_the_given_folders(tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert process.which("git", tmp_path) == program
    assert process.which("git") not in (None, program)
    assert process.which("no-such-program", tmp_path) is None


def test_there_is_a_core_to_run_on() -> None:
    assert 1 <= process.cores() <= (os.cpu_count() or 1)
