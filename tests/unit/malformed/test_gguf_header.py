from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pytest

from harness.malformed.gguf_header import changed
from harness.malformed.sound_file import SoundFile
from tests.unit.malformed.malformed_contents import content, truncated


def gguf_boundaries(file: bytes) -> set[int]:
    """Walk a GGUF by its specification and return where its fields end."""
    position, found = 0, set()

    def take(form: str) -> int:
        nonlocal position
        [value] = struct.unpack_from(f"<{form}", file, position)
        position += struct.calcsize(form)
        found.add(position)
        return int(value)

    def skip(length: int) -> None:
        nonlocal position
        position += length
        found.add(position)

    def value(kind: int) -> None:
        if kind == 8:
            skip(take("Q"))
        elif kind == 9:
            inner, count = take("I"), take("Q")
            for _ in range(count):
                value(inner)
        else:
            skip({0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind])

    skip(4)
    take("I")
    tensors, entries = take("Q"), take("Q")
    for _ in range(entries):
        skip(take("Q"))
        value(take("I"))
    sizes = []
    for _ in range(tensors):
        skip(take("Q"))
        elements = int(np.prod([take("Q") for _ in range(take("I"))]))
        assert take("I") == 1
        sizes.append((take("Q"), 2 * elements))
    skip(-position % 32)
    for offset, size in sizes:
        found |= {position + offset + size, position + offset + size + -size % 32}
    assert max(found) == len(file)
    return found


def test_gguf_is_cut_at_true_boundaries(
    malformed_contents: Mapping[str, bytes], sound_contents: Mapping[str, bytes]
) -> None:
    boundaries = gguf_boundaries(sound_contents["gguf"])
    cuts = truncated(malformed_contents, "gguf")
    assert len(cuts) > 40
    for name, place in cuts.items():
        assert (place in boundaries) == name.startswith(("after-", "before-")), name
        assert malformed_contents[f"gguf-truncated-{name}"] == sound_contents["gguf"][:place]


def test_unknown_pieces_are_a_mistake_of_the_recipe(sound: SoundFile) -> None:
    recipe = changed(sound, "x", "y", {"t9-type": b""})
    with pytest.raises(KeyError, match="t9-type"):
        content(recipe)
