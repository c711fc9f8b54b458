"""Remember which commits of upstream's repository were judged, so that the next run compares with one of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sdcpp import atomic_write, cache, console
from sdcpp.source import upstream
from sdcpp.source.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A commit that was judged on a backend, and its date."""

    commit: str
    date: str
    backend: str


def path() -> Path:
    """Return the file with the judged commits, which is beside the copy of upstream's repository in the cache."""
    copy = upstream.mirror().path
    return copy.with_name(f"{copy.name}.judged.json")


def remember(wanted: Revision, backend: str) -> None:
    """Remember that a revision of upstream's repository was judged on a backend.

    Raises CacheBusy, CacheUnusable, and OutputRefused if the file cannot be written.
    """
    this = Judged(commit=str(wanted.commit), date=wanted.date or "", backend=backend)
    with cache.lock(path()):
        entries = [*(entry for entry in _read() if entry != this), this]
        atomic_write.write(path(), json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")


def last(wanted: Revision, backend: str) -> Judged | None:
    """Return the ancestor of a revision that was judged last on a backend, or None.

    A pull request and its base are thus compared with what both started from, in whichever order they are judged, and
    a revision that is judged again is compared with the same one as before.
    """
    new = str(wanted.commit)
    for entry in reversed(_read()):
        if entry.backend == backend and entry.commit != new and upstream.is_ancestor(entry.commit, new):
            return entry
    return None


def _read() -> list[Judged]:
    try:
        return [Judged(**entry) for entry in json.loads(path().read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        console.note(f"{path()} cannot be read and is ignored: {error}")
        return []
