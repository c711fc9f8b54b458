"""The progress of a run: a bar on a terminal, and a line from time to time in a log."""

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
from sdcpp.waiting_line import PATIENCE, left

#: In a log, a line is printed after this many shots or after this many seconds, whichever comes first.
EVERY, SECONDS = 25, 10.0


class Progress:
    """Counts the shots that are done and shows the count: ``with Progress(total) as progress``.

    Output goes to standard error unless another console is given.
    """

    def __init__(self, total: int, console: Console = err) -> None:
        self.total, self.done = total, 0
        self.counts: Counter[str] = Counter()
        self._console = console
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._began = self._at = time.monotonic()
        self._shown = 0

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar = Bar(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                TextColumn("{task.fields[counts]}"),
                TextColumn("[dim]{task.description}[/dim]"),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=self.total, counts="", left="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif self.done != self._shown:
            self._line("")

    def update(self, done: str, verdicts: Iterable[str]) -> None:
        """Count one shot as done, and the verdicts on the cases that it completed. ``done`` is the name of the shot."""
        self.done += 1
        self.counts.update(map(str, verdicts))
        if self._bar:
            label = escape(one_line(done, 40))
            counts = escape(self.summary)
            self._bar.update(self._task, advance=1, description=label, counts=counts, left=self._left())
        elif self.done - self._shown >= EVERY or time.monotonic() - self._at >= SECONDS:
            self._line(one_line(done, 60))

    def say(self, text: str) -> None:
        """Print a line; on a terminal it appears above the bar."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    @property
    def summary(self) -> str:
        """The number of each verdict, the most frequent first: ``PASS 40, ABORT 2``."""
        return ", ".join(f"{verdict} {count}" for verdict, count in self.counts.most_common())

    def _line(self, more: str) -> None:
        self._shown, self._at = self.done, time.monotonic()
        self.say("  ".join(filter(None, (f"{self.done}/{self.total}", self._left(), self.summary, more))))

    def _left(self) -> str:
        """Return how much time is left, or "" if the whole takes no longer than two seconds, or is done."""
        passed = time.monotonic() - self._began
        if not self.done or passed * self.total < PATIENCE * self.done or self.done == self.total:
            return ""
        return left(self.done, self.total, passed).removeprefix(", ")
