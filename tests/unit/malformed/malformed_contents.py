"""The bytes of malformed files, for their tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.formats.read import read_tensors
from harness.malformed.malformed_file import MalformedFile
from sdcpp.errors import FileInvalid


def content(recipe: MalformedFile) -> bytes:
    """Return the bytes of a recipe that makes a file of bytes."""
    assert recipe.content is not None
    return recipe.content()


def truncated(contents: Mapping[str, bytes], container: str) -> dict[str, int]:
    """Return the sizes of the truncated files of a container, by what their names end in."""
    prefix = f"{container}-truncated-"
    return {
        name.removeprefix(prefix): len(file) for name, file in contents.items() if name.startswith(prefix)
    }


def readable(recipes: Iterable[MalformedFile], path: Path) -> set[str]:
    """Return the names of the recipes whose file this project's own reader accepts; ``path`` is written for each."""
    names = set()
    for recipe in recipes:
        path.write_bytes(content(recipe))
        try:
            read_tensors(path)
        except FileInvalid:
            continue
        names.add(recipe.name)
    return names
