"""Progress while shots are run: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from harness.text import one_line
from sdcpp.console import err

#: Off a terminal: a line after so many shots, or after so many seconds, whichever comes first.
EVERY, SECONDS = 25, 10.0


class Progress:
    """Counts what is done and shows it, from ``with Progress(total) as progress`` to the end of the block.

    It writes to standard error unless given another console.
    """

    def __init__(self, total: int, console: Console = err) -> None:
        self.total, self.done = total, 0
        self.counts: Counter[str] = Counter()
        self._console = console
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._shown, self._at = 0, time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar = Bar(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[counts]}"),
                TextColumn("[dim]{task.description}[/dim]"),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=self.total, counts="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif self.done != self._shown:
            self._line("")

    def update(self, done: str, verdicts: Iterable[str]) -> None:
        """Count one shot that is done: its label, and the verdicts on the cases that it was the last one for."""
        self.done += 1
        self.counts.update(map(str, verdicts))
        if self._bar:
            label = escape(one_line(done, 40))
            self._bar.update(self._task, advance=1, description=label, counts=escape(self.summary))
        elif self.done - self._shown >= EVERY or time.monotonic() - self._at >= SECONDS:
            self._line(one_line(done, 60))

    def say(self, text: str) -> None:
        """Show a line at once, above the bar where there is one."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    @property
    def summary(self) -> str:
        """The counts of verdicts, the most frequent first: ``PASS 40, ABORT 2``."""
        return ", ".join(f"{verdict} {count}" for verdict, count in self.counts.most_common())

    def _line(self, more: str) -> None:
        self._shown, self._at = self.done, time.monotonic()
        self.say("  ".join(filter(None, (f"{self.done}/{self.total}", self.summary, more))))
