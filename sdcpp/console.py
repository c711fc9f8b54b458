"""What the user sees while something runs: rich on a terminal, plain lines in CI and pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

#: Progress and messages go to standard error, so that standard output holds results only.
err = Console(stderr=True, highlight=False, soft_wrap=True)
#: Results. Where there is no terminal to ask for its width, tables may use 100 columns.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)


def command(line: str, cwd: Path | None) -> None:
    """Show a command that is about to run."""
    where = f"  [dim](in {escape(os.fspath(cwd))})[/dim]" if cwd else ""
    err.print(f"[bold blue]$[/bold blue] {escape(line)}{where}")


def note(text: str) -> None:
    """Show one line about what is being done."""
    err.print(escape(text))


def warn(text: str) -> None:
    """Show one line that deserves attention but stops nothing."""
    err.print(f"[yellow]warning:[/yellow] {escape(text)}")


@contextmanager
def progress_lines(*, enabled: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the latest line of a long job.

    On a terminal one status line is rewritten in place; elsewhere only every fortieth line and the last
    are printed, so that a CI log shows life without drowning in it.
    """
    if not enabled:
        yield lambda _line: None
    elif err.is_terminal:
        with err.status("") as status:
            yield lambda line: status.update(escape(line[: max(20, err.width - 4)]))
    else:
        count, last = 0, ""

        def plain(line: str) -> None:
            nonlocal count, last
            count, last = count + 1, line
            if count % 40 == 1:
                err.print(escape(line[:160]))

        yield plain
        if last and count % 40 != 1:
            err.print(escape(last[:160]))


def error(problem: Exception) -> None:
    """Show what ended a command."""
    err.print(f"[bold red]error:[/bold red] {escape(str(problem))}")
