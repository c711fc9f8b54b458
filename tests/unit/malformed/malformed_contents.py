"""The bytes of malformed files, for their tests."""

from __future__ import annotations

from collections.abc import Mapping

from harness.malformed.malformed_file import MalformedFile


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
