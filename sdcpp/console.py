"""Results on standard output, messages and progress on standard error: with rich on a terminal, else plain lines.

Whatever is printed here is shown by ``sdcpp.printable``, because names and texts of files, and logs of a library, may
contain commands to the terminal.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from sdcpp.printable import printable

#: The characters that rich lays out itself.
_LAYOUT = "\n\t"


class VisibleConsole(Console):
    """A console that shows control characters of a text as escapes; only rich itself commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as rich's own; it is escaped before its width is measured."""
        return super().render_str(printable(text, _LAYOUT), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the pieces of any object, such as the Text objects of a table, escaped."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, _LAYOUT), segment.style)


#: Messages and progress.
err = VisibleConsole(stderr=True, highlight=False, soft_wrap=True)
#: Results. Tables are as wide as the terminal, or 100 columns without one. sys.stdout is None if it is closed.
out = VisibleConsole(
    highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else 100
)


def command(line: str, cwd: Path | None) -> None:
    """Print a command that is about to run, and the folder it runs in."""
    where = f"  [dim](in {escape(os.fspath(cwd))})[/dim]" if cwd else ""
    err.print(f"[bold blue]$[/bold blue] {escape(line)}{where}")


def note(text: str) -> None:
    """Print a message."""
    err.print(escape(text))


def warn(text: str) -> None:
    """Print a warning, after which the command goes on."""
    err.print(f"[yellow]warning:[/yellow] {escape(text)}")


#: Held by the job that shows its lines on a terminal.
_progress = threading.Lock()
_progress_hidden = False


@contextmanager
def progress_hidden(*, when: bool) -> Iterator[None]:
    """Show no progress while the block runs, in any thread, if ``when``; messages and warnings are shown."""
    global _progress_hidden  # noqa: PLW0603 - like standard error, it belongs to the process
    before, _progress_hidden = _progress_hidden, _progress_hidden or when
    try:
        yield
    finally:
        _progress_hidden = before


def shows_progress() -> bool:
    """Return whether progress is shown."""
    return not _progress_hidden


@contextmanager
def progress_lines(*, enabled: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line of output of a long job; it does nothing if not ``enabled``, or hidden.

    On a terminal, each line overwrites the one before, and jobs that begin while another job shows its lines show none.
    Elsewhere, every fortieth line and the last one are printed, which shows in the log of a CI run that the job is
    alive.
    """
    if not enabled or _progress_hidden:
        yield lambda _line: None
    elif err.is_terminal:
        if not _progress.acquire(blocking=False):
            yield lambda _line: None
            return
        try:
            with err.status("", spinner="line" if err.options.ascii_only else "dots") as status:
                yield lambda line: status.update(escape(line[: max(20, err.width - 4)]))
        finally:
            _progress.release()
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
    """Print the error that ended a command."""
    err.print(f"[bold red]error:[/bold red] {escape(str(problem))}")
