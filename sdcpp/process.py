"""Start other programs: always with a list of arguments, never through a shell.

No other module of the project starts a program.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdcpp import cache, console, os_errors
from sdcpp.errors import ToolMissing

#: Errors of starting a program that are about the program, not about this machine.
_PROGRAM_ERRORS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that has ended: its arguments, its exit status and everything that it printed, in order.

    ``output`` has both streams, unless ``run`` was called with ``apart``; then ``errors`` has standard error.
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
    """Run a program until it ends and return its status and output. A non-zero status is not an error here.

    The command is printed first, unless ``quiet``. ``env`` changes environment variables; None removes one.
    ``show`` shows each line of output as progress, or, with ``only``, the lines that match it from their start.
    ``apart`` returns standard error separately, for output that is parsed; bytes that are not UTF-8 are then decoded
    as os.fsdecode does. ``stdin`` is a file for the program to read; without one it reads nothing.
    Raises ToolMissing if the program does not exist or cannot be started.
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
        except OSError as error:
            if unusable := _unusable(error, words[0], cwd):
                raise unusable from error
            raise
        lines: list[str] = []
        assert process.stdout is not None  # noqa: S101 - because of PIPE
        with process, console.progress_lines(enabled=show) as progress:
            for line in process.stdout:
                lines.append(line)
                if only is None or only.match(line):
                    progress(line.rstrip())
        errors.seek(0)
        complaints = errors.read().decode("utf-8", "replace")
    return Completed(argv=tuple(words), status=process.returncode, output="".join(lines), errors=complaints)


def _unusable(error: OSError, program: str, cwd: Path | None) -> ToolMissing | None:
    """Return what to raise if an error of starting a program in the folder ``cwd`` is about the program, or None."""
    if error.errno not in _PROGRAM_ERRORS or (cwd is not None and not cwd.is_dir()):
        return None
    if isinstance(error, FileNotFoundError):
        return ToolMissing("program not found", program, f"install {program} and try again")
    return ToolMissing(
        f"program cannot be started ({os_errors.reason(error)})",
        program,
        "install it again for this machine, or remove it from PATH",
    )


def start(
    argv: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a program and return without waiting for it; its standard input and output are pipes.

    ``stderr`` is the descriptor of the file that gets its standard error.
    It gets a session of its own, so that it can be ended together with the processes that it starts.
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
    """Return the path of a program, searching ``folders`` first and then PATH, or None."""
    for folder in folders:
        found = shutil.which(name, path=os.fspath(folder))
        if found:
            return Path(found)
    found = shutil.which(name)
    return Path(found) if found else None


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float | None:
    """Return how many processes wanted a core on average in the last minute, or None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
