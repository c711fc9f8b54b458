"""Show how far long steps are and how much time is left: on a terminal in one line, in a log from time to time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdcpp import console
from sdcpp.waiting_line import duration, left, waiting_line


class Steps:
    """Counts steps of about the same length, and says how much time is left until the last one has ended."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()

    def done(self, what: str, steps: int = 1) -> None:
        """Print that one or more steps have ended, unless progress is hidden."""
        self._done += steps
        if not console.shows_progress():
            return
        passed = time.monotonic() - self._began
        rest = left(self._done, self._total, passed) if self._done < self._total else ""
        console.note(f"{self._done}/{self._total} {what} after {duration(passed)}{rest}")


@contextmanager
def growing(folder: Path, total: int, what: str) -> Iterator[None]:
    """Show the size of the files in a folder, of about ``total`` bytes in the end, while the block writes them."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(folder, total, what, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(folder: Path, total: int, what: str, ended: threading.Event) -> None:
    """Show progress until ``ended`` is set."""
    began = time.monotonic()
    with waiting_line() as show:
        while not ended.wait(0.5):
            show(lambda: _line(folder, total, what, began))


def _line(folder: Path, total: int, what: str, began: float) -> str:
    written = min(total, sum(_size(path) for path in folder.rglob("*")))
    rest = left(written, total, time.monotonic() - began)
    return f"{what}: {written / 1e9:.1f} of {total / 1e9:.1f} GB{rest}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a temporary file was renamed meanwhile
        return 0
