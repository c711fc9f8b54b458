from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from harness.cli import failures
from sdcpp.errors import Bug, Error, FileInvalid, FolderMissing, OutOfMemory, SystemRefused, ToolMissing

ARGV = ["lora", "inspect", "two words"]


def refused(number: int, *path: object) -> OSError:
    return OSError(number, os.strerror(number), *path)


def test_an_error_of_the_project_stays_as_it_is() -> None:
    error = FileInvalid("what", "subject", "remedy")
    assert failures.explained(error, ARGV) is error


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (
            refused(errno.EMFILE),
            SystemRefused,
            "Too many open files: an open file, or a new process\n  start fewer workers",
        ),
        (
            refused(errno.ENOSPC, "/disk/a"),
            SystemRefused,
            "No space left on device: /disk/a\n  free some space",
        ),
        (
            refused(errno.EROFS, b"/disk/\xff"),
            SystemRefused,
            "Read-only file system: /disk/\\udcff\n  choose",
        ),
        (
            MemoryError(),
            OutOfMemory,
            "not enough memory: sdcpp lora inspect 'two words'\n  close other programs",
        ),
        (
            ModuleNotFoundError("", name="gguf"),
            ToolMissing,
            "a Python package is not installed: gguf\n  install it: ",
        ),
    ],
)
def test_what_the_machine_refuses_is_no_bug(
    cache_folder: Path, problem: Exception, kind: type[Error], message: str
) -> None:
    error = failures.explained(problem, ARGV)
    assert type(error) is kind
    assert str(error).startswith(message)
    assert not cache_folder.exists()  # no log


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (ZeroDivisionError("by zero"), Bug, "this is a bug in sdcpp: ZeroDivisionError: by zero\n  "),
        (RecursionError("too deep"), Bug, "this is a bug in sdcpp: RecursionError: too deep\n  "),
        (ModuleNotFoundError("", name="harness.x"), Bug, "this is a bug in sdcpp: ModuleNotFoundError: \n  "),
        (OSError("without a number"), Bug, "this is a bug in sdcpp: OSError: without a number\n  "),
        (
            refused(errno.ENOENT, "/a"),
            SystemRefused,
            "No such file or directory: /a\n  check the path; if it is correct, ",
        ),
    ],
)
def test_everything_else_is_a_bug_with_a_log(
    cache_folder: Path, problem: Exception, kind: type[Error], message: str
) -> None:
    error = failures.explained(problem, ARGV)
    [log] = (cache_folder / "logs").iterdir()
    assert type(error) is kind
    assert str(error) == f"{message}a log was written to {log}; please report it with that file"
    assert "command: sdcpp lora inspect 'two words'" in log.read_text(encoding="utf-8")


def test_a_bug_without_a_place_for_its_log_shows_it(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.write_text("a file", encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(cache_folder))
    error = failures.explained(ZeroDivisionError(), ARGV)
    assert error.remedy.startswith(
        "please report it with this log:\ncommand: sdcpp lora inspect 'two words'\n"
    )


def test_a_missing_folder_explains_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures.require_folder()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    with pytest.raises(
        FolderMissing, match=f"the current folder was removed: {gone}\n  change to another folder"
    ):
        failures.require_folder()
    assert isinstance(failures.explained(refused(errno.ENOENT), ARGV), FolderMissing)


def test_a_temporary_folder_that_is_missing_explains_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("TMPDIR", "/full")
    error = failures.explained(refused(errno.ENOENT), ARGV)
    assert isinstance(error, FolderMissing)
    assert str(error).endswith("['/tmp']): /full\n  set TMPDIR to a folder with free space")
