"""A file as labelled pieces of bytes in their order.

The writers of ``harness.formats`` make valid files only. Here a file is a mapping of labels to bytes, so that any field
can be replaced, and a file can be truncated after any field.
"""

from __future__ import annotations

from collections.abc import Mapping

#: The pieces of a file by label, in their order.
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
    """Return the pieces, with those of ``fields`` replaced. Raises KeyError for a label that is not among them."""
    if unknown := set(fields) - set(parts):
        raise KeyError(f"no pieces {unknown}")
    return {**parts, **fields}
