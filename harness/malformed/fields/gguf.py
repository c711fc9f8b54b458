"""Build a GGUF file from its fields.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Files are little endian. ``order`` ">" makes a
big-endian file of the specification, in which every number, tensor data included, is swapped.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from harness.formats.tensor import kind_of
from harness.malformed.fields.pieces import Pieces, concatenate

#: gguf_metadata_value_type, by the format character of struct; strings and arrays have none.
KINDS = {
    "B": 0,
    "b": 1,
    "H": 2,
    "h": 3,
    "I": 4,
    "i": 5,
    "f": 6,
    "?": 7,
    "Q": 10,
    "q": 11,
    "d": 12,
}
STRING, ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Number:
    """A metadata value that is a number. ``kind`` is a format character of struct."""

    kind: str
    value: float


@dataclass(frozen=True, slots=True)
class Array:
    """A metadata value that is an array. ``kind`` is a format character of struct, "s" for strings, "a" for arrays."""

    kind: str
    values: Sequence[object]


Value = str | Number | Array
Metadata = Mapping[str, Value]


def build_fields(
    tensors: Mapping[str, NDArray[np.generic]],
    metadata: Metadata,
    *,
    version: int = 3,
    alignment: int = 32,
    order: str = "<",
) -> Pieces:
    """Return the pieces of a file of float tensors, given in PyTorch's order.

    Labels: ``magic``, ``version``, ``tensor-count``, ``kv-count``; for each metadata entry ``kvN-...``; for each
    tensor ``tN-name-length``, ``tN-name``, ``tN-n-dims``, ``tN-dimM``, ``tN-type``, ``tN-offset``; then
    ``padding``, and ``tN-data`` and ``tN-padding`` for each tensor.
    """
    parts: Pieces = {
        "magic": b"GGUF",
        "version": struct.pack(f"{order}I", version),
        "tensor-count": struct.pack(f"{order}Q", len(tensors)),
        "kv-count": struct.pack(f"{order}Q", len(metadata)),
    }
    for number, (key, value) in enumerate(metadata.items()):
        parts |= _entry(f"kv{number}", key.encode(), value, order)
    data: Pieces = {}
    offset = 0
    for number, (name, array) in enumerate(tensors.items()):
        label, raw = f"t{number}", name.encode()
        parts[f"{label}-name-length"] = struct.pack(f"{order}Q", len(raw))
        parts[f"{label}-name"] = raw
        parts[f"{label}-n-dims"] = struct.pack(f"{order}I", array.ndim)
        for axis, extent in enumerate(reversed(array.shape)):
            parts[f"{label}-dim{axis}"] = struct.pack(f"{order}Q", extent)
        parts[f"{label}-type"] = struct.pack(f"{order}I", GGMLQuantizationType[kind_of(array)])
        parts[f"{label}-offset"] = struct.pack(f"{order}Q", offset)
        data[f"{label}-data"] = (array.byteswap() if order == ">" else array).tobytes()
        data[f"{label}-padding"] = bytes(-len(data[f"{label}-data"]) % alignment)
        offset += len(data[f"{label}-data"]) + len(data[f"{label}-padding"])
    parts["padding"] = b""
    return padded(parts | data, alignment)


def padded(parts: Mapping[str, bytes], alignment: int = 32) -> Pieces:
    """Return the pieces with new padding before the data, for pieces that have changed their length."""
    labels = list(parts)
    head = labels[: labels.index("padding")]
    length = sum(len(parts[label]) for label in head)
    return {**parts, "padding": bytes(-length % alignment)}


def build_file(parts: Mapping[str, bytes], alignment: int = 32) -> bytes:
    """Return the file with aligned data."""
    return concatenate(padded(parts, alignment))


def _entry(label: str, key: bytes, value: Value, order: str) -> Pieces:
    parts = {f"{label}-key-length": struct.pack(f"{order}Q", len(key)), f"{label}-key": key}
    if isinstance(value, Array):
        parts[f"{label}-type"] = struct.pack(f"{order}I", ARRAY)
        return parts | _array(label, value, order)
    if isinstance(value, Number):
        parts[f"{label}-type"] = struct.pack(f"{order}I", KINDS[value.kind])
        parts[f"{label}-value"] = struct.pack(order + value.kind, value.value)
        return parts
    raw = value.encode()
    parts[f"{label}-type"] = struct.pack(f"{order}I", STRING)
    parts[f"{label}-length"] = struct.pack(f"{order}Q", len(raw))
    parts[f"{label}-text"] = raw
    return parts


def _array(label: str, array: Array, order: str) -> Pieces:
    kind = {"s": STRING, "a": ARRAY}.get(array.kind) or KINDS.get(array.kind, 0)
    parts = {
        f"{label}-element-type": struct.pack(f"{order}I", kind),
        f"{label}-count": struct.pack(f"{order}Q", len(array.values)),
    }
    for number, element in enumerate(array.values):
        place = f"{label}-element{number}"
        if isinstance(element, Array):
            parts |= _array(place, element, order)
        elif isinstance(element, str):
            raw = element.encode()
            parts[f"{place}-length"] = struct.pack(f"{order}Q", len(raw))
            parts[f"{place}-text"] = raw
        else:
            parts[place] = struct.pack(order + array.kind, element)
    return parts
