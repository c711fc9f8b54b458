"""Find and remove finished builds in the cache."""

from __future__ import annotations

import json
from pathlib import Path

from sdcpp import cache, console
from sdcpp.errors import LibraryUnusable
from sdcpp.source import revision
from sdcpp.source.revision import Revision


def require_build(*, patched: bool = False) -> Path:
    """Return ``newest_build``; raises LibraryUnusable if there is none."""
    found = newest_build(patched=patched)
    if found is None:
        raise LibraryUnusable(
            "no library of a named revision is built", cache.root(), "run `sdcpp build` first"
        )
    return found


def newest_build(*, patched: bool = False) -> Path | None:
    """Return the folder of the build to use where none is named, or None if the cache has none; say which it is.

    Only builds of the revisions in revisions.toml count: for the CPU and without further options, as mutants and
    sanitized builds have. The revision with the newest commit wins. Of its builds, those with patches win if
    ``patched`` is true and those without otherwise, then the one that was built last.
    """
    named = revision.load()
    found = []
    for path in (cache.root() / cache.BUILDS).glob("*/build.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            name, has_patches, built = record["revision"], bool(record["patches"]), record["date"]
            if name in named and record["backend"] == "cpu" and not record["options"]:
                found.append(
                    (named[name].date or "", has_patches == patched, built, path.parent, name, has_patches)
                )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a broken record: what reads the build itself says so
    if not found:
        return None
    *_, folder, name, has_patches = max(found)
    console.note(f"using the library of {name} ({'patched' if has_patches else 'pristine'}, cpu)")
    return folder


def remove_build(wanted: Revision) -> None:
    """Remove a revision's source trees and builds from the cache, but not its download."""
    root = cache.root()
    for folder in (cache.TREES, cache.BUILDS):
        for path in (root / folder).glob(f"{wanted.name}-*"):
            if path.is_dir():
                cache.remove(path)
