"""Containers taken apart: a file as labelled pieces of bytes in their order, each of which can be changed.

The writers of ``harness.formats`` make good files only. Here a file is a mapping from labels to bytes, so that
a single field can be replaced by any value, and a file can be cut after any field.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Pieces of a file in their order: joined they are the file.
Pieces = dict[str, bytes]


def concatenate(parts: Mapping[str, bytes]) -> bytes:
    """Return the file."""
    return b"".join(parts.values())


def ends(parts: Mapping[str, bytes]) -> dict[str, int]:
    """Return the position at which each piece ends."""
    position, found = 0, {}
    for label, piece in parts.items():
        position += len(piece)
        found[label] = position
    return found


def replaced(parts: Mapping[str, bytes], fields: Mapping[str, bytes]) -> Pieces:
    """Return the pieces with others in the place of those in ``fields``; raises KeyError for an unknown label."""
    if unknown := set(fields) - set(parts):
        raise KeyError(f"no pieces {unknown}")
    return {**parts, **fields}
