from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from tests.unit.malformed.malformed_contents import truncated


def test_safetensors_is_cut_at_true_boundaries(
    malformed_contents: Mapping[str, bytes], sound_contents: Mapping[str, bytes]
) -> None:
    file = sound_contents["safetensors"]
    [length] = struct.unpack_from("<Q", file)
    tokens = re.finditer(r'"[^"]*"|\d+|[][{},:]', file[8 : 8 + length].decode())
    boundaries = {8, 8 + length, *(8 + token.end() for token in tokens)}
    offsets = re.findall(rb'"data_offsets":\[(\d+),(\d+)\]', file)
    boundaries |= {8 + length + int(end) for _, end in offsets}
    cuts = truncated(malformed_contents, "safetensors")
    assert len(cuts) > 15
    for name, place in cuts.items():
        assert place in boundaries or not name.startswith("after-"), name
