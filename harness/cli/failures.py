"""Turn the exception that ended a command into an error with a message for the user and an exit status."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.cli import bug_log
from sdcpp import os_errors
from sdcpp.errors import Bug, Error, FolderMissing, OutOfMemory, SystemRefused, ToolMissing
from sdcpp.process import quoted


def require_folder() -> None:
    """Raise FolderMissing if the current folder was removed."""
    try:
        Path.cwd()
    except OSError as error:
        folder = os.environ.get("PWD", ".")
        raise FolderMissing("the current folder was removed", folder, "change to another folder") from error


def explained(problem: Exception, argv: Sequence[str]) -> Error:
    """Return the error to show for an exception. One that the user cannot fix is a bug, of which a log is written."""
    if isinstance(problem, Error):
        return problem
    if isinstance(problem, MemoryError):
        advice = "close other programs, or start fewer workers with --jobs"
        return OutOfMemory("not enough memory", quoted(["sdcpp", *argv]), advice)
    if isinstance(problem, ModuleNotFoundError) and not (problem.name or "").startswith(("sdcpp", "harness")):
        advice = f"install it: {quoted([sys.executable, '-m', 'pip', 'install', problem.name or ''])}"
        return ToolMissing("a Python package is not installed", problem.name, advice)
    if isinstance(problem, OSError) and (error := _refused(problem)):
        return error
    report = _report(problem, argv)
    if isinstance(problem, OSError) and (path := os_errors.path_of(problem)):
        return SystemRefused(os_errors.reason(problem), path, f"check the path; if it is correct, {report}")
    return Bug("this is a bug in sdcpp", f"{type(problem).__name__}: {problem}", report)


def _refused(problem: OSError) -> Error | None:
    """Return the error for what the operating system refused, or None if the cause may be in this project."""
    if isinstance(problem, FileNotFoundError):
        try:
            require_folder()
            tempfile.gettempdir()
        except FolderMissing as error:
            return error
        except OSError as error:
            folder = os.environ.get("TMPDIR", "TMPDIR")
            advice = "set TMPDIR to a folder with free space"
            return FolderMissing(
                f"there is no folder for temporary files ({os_errors.reason(error)})", folder, advice
            )
    if not os_errors.has_advice(problem):
        return None
    subject = os_errors.path_of(problem) or "an open file, or a new process"
    return SystemRefused(os_errors.reason(problem), subject, os_errors.advice(problem, ""))


def _report(problem: Exception, argv: Sequence[str]) -> str:
    """Write a log and return what the user should do with it."""
    log = bug_log.write(problem, argv)
    if log is None:
        return f"please report it with this log:\n{bug_log.text(problem, argv)}"
    return f"a log was written to {log}; please report it with that file"
