"""Build a safetensors file from its fields.

Format: https://huggingface.co/docs/safetensors/index#format: a 64-bit length, a JSON header, the data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import kind_of
from harness.malformed.fields.pieces import Pieces, concatenate

#: The label of the last piece before the data.
LAST = "header-end"


def build_fields(
    tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str] | None = None, *, align: int = 8
) -> Pieces:
    """Return the pieces of a file. Spaces at the end of the header align the data to ``align`` bytes.

    Labels: ``length``, ``open``, ``metadata``; for each tensor ``tN-name``, ``tN-dtype``, ``tN-shape`` and
    ``tN-offsets`` (with ``tN-close``); ``close``, ``header-end`` (the spaces); ``tN-data``.
    """
    parts: Pieces = {"length": b"", "open": b"{"}
    if metadata is not None:
        parts["metadata"] = b'"__metadata__":' + _json(metadata) + b","
    data: Pieces = {}
    offset = 0
    for number, (name, array) in enumerate(tensors.items()):
        label, raw = f"t{number}", np.ascontiguousarray(array).tobytes()
        parts[f"{label}-name"] = (b"," if number else b"") + _json(name) + b":{"
        parts[f"{label}-dtype"] = b'"dtype":' + _json(kind_of(array))
        parts[f"{label}-shape"] = b',"shape":' + _json(array.shape)
        parts[f"{label}-offsets"] = b',"data_offsets":' + _json([offset, offset + len(raw)])
        parts[f"{label}-close"] = b"}"
        data[f"{label}-data"] = raw
        offset += len(raw)
    parts["close"] = b"}"
    parts[LAST] = b""
    return with_lengths(parts | data, align)


def with_lengths(parts: Mapping[str, bytes], align: int = 8) -> Pieces:
    """Return the pieces with a new length and padding of the header, for pieces that have changed."""
    labels = list(parts)
    head = labels[1 : labels.index(LAST)]
    text = sum(len(parts[label]) for label in head)
    spaces = -text % align
    return {**parts, "length": struct.pack("<Q", text + spaces), LAST: b" " * spaces}


def build_file(parts: Mapping[str, bytes]) -> bytes:
    """Return the file with the right length of the header."""
    return concatenate(with_lengths(parts))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
