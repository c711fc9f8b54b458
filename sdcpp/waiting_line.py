"""Show how far long work is and how much time is left, if it takes longer than two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.markup import escape
from rich.status import Status

from sdcpp import console

#: Is called with the amount of work that is done and the whole amount.
Progress = Callable[[float, float], None]
#: Nothing is shown before this many seconds.
PATIENCE = 2.0
#: A line is shown again after this many seconds on a terminal, and in a log.
TERMINAL, LOG = 0.2, 10.0


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def waiting_line() -> Iterator[Callable[[Callable[[], str]], None]]:
    """Yield a function that shows the text that another function returns, which is only called if it is time to.

    A terminal has one line, which disappears at the end. A log gets a line every ten seconds.
    """
    due = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        status: Status | None = None

        def show(text: Callable[[], str]) -> None:
            nonlocal due, status
            now = time.monotonic()
            if now < due or not console.shows_progress():
                return
            due = now + (TERMINAL if console.err.is_terminal else LOG)
            if not console.err.is_terminal:
                console.note(text())
            elif status is None:
                status = stack.enter_context(console.err.status(escape(text())))
            else:
                status.update(escape(text()))

        yield show


def unseen(_done: float, _of: float) -> None:
    """Show no progress."""


def part(progress: Progress, first: float, last: float) -> Progress:
    """Return the progress of a part of the work, from the share ``first`` to the share ``last`` of the whole."""
    return lambda done, of: progress(first + (last - first) * (done / of if of else 1), 1)


@contextmanager
def counted(what: str, total: int = 0, *, began: float | None = None) -> Iterator[Callable[..., None]]:
    """Yield a function that is called with the amount done, of ``total``, and shows it as a waiting line.

    It may also be called with both, if the total is not known from the start. ``began`` is the ``time.monotonic()`` at
    which the work began, if that was before.
    """
    began = time.monotonic() if began is None else began
    with waiting_line() as show:

        def done(amount: float, of: float = total) -> None:
            if amount and of:
                show(lambda: f"{what}: {amount / of:.0%}{left(amount, of, time.monotonic() - began)}")

        yield done


def left(done: float, total: float, passed: float) -> str:
    """Return how much time is left, after a comma, if ``passed`` seconds were needed for ``done`` of ``total``."""
    return f", about {duration(passed * (total - done) / done)} left" if done else ""
