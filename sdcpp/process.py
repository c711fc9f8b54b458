"""The only door to other programs: a list of arguments, printed before it runs, never a shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sdcpp import cache, console
from sdcpp.errors import ToolMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended: its exit status and all that it printed (both streams, in order).

    Where standard error was asked for apart, it is in ``errors`` and not in ``output``.
    """

    argv: tuple[str, ...]
    status: int
    output: str
    errors: str = ""


def quoted(argv: Sequence[str | os.PathLike[str]]) -> str:
    """Return the command as one line that can be pasted into a shell."""
    return shlex.join(os.fspath(part) for part in argv)


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    show: bool = False,
    only: re.Pattern[str] | None = None,
    quiet: bool = False,
    apart: bool = False,
    stdin: Path | None = None,
) -> Completed:
    """Run a program to its end and return what came of it; a non-zero status is the caller's to judge.

    ``env`` is added to this process's environment; None takes a variable out of it. ``show`` passes each
    line of output on as progress while it arrives, ``only`` those that begin so. ``quiet`` leaves the
    command itself unprinted, for questions asked in passing. ``apart`` keeps standard error out of
    ``output``, for output that is to be parsed; bytes that are no UTF-8 then survive as os.fsdecode would
    have them. ``stdin`` is a file for the program to read; otherwise it reads nothing.
    Raises ToolMissing when the program does not exist.
    """
    words = [os.fspath(part) for part in argv]
    if not quiet:
        console.command(quoted(words), cwd)
    settings = {**os.environ, **(env or {})}
    with tempfile.TemporaryFile() as errors, (stdin or Path(os.devnull)).open("rb") as entry:
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env={name: value for name, value in settings.items() if value is not None},
                stdin=entry,
                stdout=subprocess.PIPE,
                stderr=errors if apart else subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="surrogateescape" if apart else "replace",
                pass_fds=cache.lock_descriptors(),
            )
        except FileNotFoundError as error:
            if cwd is not None and not cwd.is_dir():  # the same exception for two causes
                raise
            raise ToolMissing("program not found", words[0], f"install {words[0]} and try again") from error
        lines: list[str] = []
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        with process, console.progress_lines(enabled=show) as progress:
            for line in process.stdout:
                lines.append(line)
                if only is None or only.match(line):
                    progress(line.rstrip())
        errors.seek(0)
        complaints = errors.read().decode("utf-8", "replace")
    return Completed(argv=tuple(words), status=process.returncode, output="".join(lines), errors=complaints)


def start(
    argv: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program that is talked to over its standard input and output, without waiting for it.

    It leads a session of its own, so that it can be ended together with the processes it starts.
    """
    words = [os.fspath(part) for part in argv]
    return subprocess.Popen(
        words,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def which(name: str, *folders: Path) -> Path | None:
    """Return where a program is, looking into ``folders`` first and then along PATH, or None."""
    for folder in folders:
        found = shutil.which(name, path=os.fspath(folder))
        if found:
            return Path(found)
    found = shutil.which(name)
    return Path(found) if found else None


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
