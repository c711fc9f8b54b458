"""Show how far a command is and how much time is left, if it takes longer than two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape

from sdcpp import console

#: Nothing is shown before this many seconds.
PATIENCE = 2.0
#: A line is printed in a log after this many seconds.
SECONDS = 10.0


@contextmanager
def counted(what: str, total: int = 0) -> Iterator[Callable[..., None]]:
    """Yield a function that is called with the amount done, of ``total``, and shows it.

    It may also be called with both, if the total is not known from the start. A terminal has one line, which disappears
    at the end. A log gets a line every ten seconds.
    """
    began = time.monotonic()
    shown = began + PATIENCE
    with console.err.status("") if console.err.is_terminal else _nothing() as status:

        def show(done: int, of: int = total) -> None:
            nonlocal shown
            now = time.monotonic()
            if now < shown or not done or not of:
                return
            left = (now - began) * (of - done) / done
            line = f"{what}: {done / of:.0%}, about {left:.0f} s left"
            if status is not None:
                shown = now + 0.2
                status.update(escape(line))
            else:
                shown = now + SECONDS
                console.note(line)

        yield show


@contextmanager
def _nothing() -> Iterator[None]:
    yield None
