"""Find and remove finished builds in the cache."""

from __future__ import annotations

import json
from pathlib import Path

from sdcpp import cache
from sdcpp.errors import (
    LibraryUnusable,
)
from sdcpp.source.revision import Revision


def require_build(*, patched: bool = False) -> Path:
    """Return ``newest_build``; raises LibraryUnusable if there is none."""
    found = newest_build(patched=patched)
    if found is None:
        raise LibraryUnusable("no library is built", "the cache", "run sdcpp build first")
    return found


def newest_build(*, patched: bool = False) -> Path | None:
    """Return the folder of the newest revision's newest build for the CPU in the cache, or None if there is none.

    ``patched`` prefers one with patches, otherwise one without is preferred.
    """
    found = []
    for path in (cache.root() / "builds").glob("*/build.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if (
            record.get("backend") == "cpu" and not record["options"]
        ):  # a mutant's has some, a sanitizer's, too
            found.append(
                (record["revision"], bool(record["patches"]) == patched, record["date"], path.parent)
            )
    return max(found)[-1] if found else None


def remove_build(wanted: Revision) -> None:
    """Remove what building a revision left in the cache, its tree and its builds, but for its download."""
    root = cache.root()
    for folder in ("trees", "builds"):
        for path in (root / folder).glob(f"{wanted.name}-*"):
            if path.is_dir():
                cache.remove(path)
