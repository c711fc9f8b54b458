"""Read the header of a safetensors file and check all that it says against the file.

Format: https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from harness.formats.tensor import SAFETENSORS, SIZES, File, MetadataValue, Tensor, broken, cut_off, is_text

#: In bytes. The reference implementation refuses longer headers.
LONGEST_HEADER = 100_000_000
#: The format's names of types that have another name here.
_NAMES = {"F8_E4M3FN": "F8_E4M3"}


def read(path: Path) -> File:
    """Return a file's tensors and metadata. Raises FileInvalid, which names the tensor and the byte."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8:
            raise broken(path, "the file is too short for a safetensors header", size)
        [length] = struct.unpack("<Q", head)
        if size - 8 < length <= LONGEST_HEADER and file.read(1) == b"{":
            raise cut_off(path, f"the header ends at byte {8 + length}, the file at {size}")
        if length > min(LONGEST_HEADER, size - 8):
            raise broken(
                path,
                f"not a safetensors file, or a damaged one: its header would have {length} bytes, the file has {size}",
                0,
            )
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise broken(path, f"the header is not valid JSON ({error})", 8) from error
    if not isinstance(header, dict):
        raise broken(path, "the header is not a JSON object", 8)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise broken(path, "a value of __metadata__ is not text", 8)
    if not all(is_text(word) for pair in metadata.items() for word in pair):
        raise broken(path, "__metadata__ has a lone surrogate in it", 8)
    start = 8 + length
    tensors = {name: _tensor(path, name, value, start) for name, value in header.items()}
    end = start
    last = max(tensors.values(), key=lambda t: t.offset + t.nbytes, default=None)
    if last is not None and last.offset + last.nbytes > size:
        raise cut_off(
            path, f"tensor {last.name} would end at byte {last.offset + last.nbytes}, the file ends at {size}"
        )
    for tensor in sorted(tensors.values(), key=lambda t: (t.offset, t.nbytes)):
        if tensor.offset != end:
            raise tensor.invalid(f"begins at byte {tensor.offset}, but the one before it ends at {end}")
        end = tensor.offset + tensor.nbytes
    if end != size:
        raise broken(path, f"{size - end} bytes belong to no tensor", end)
    return File(
        path=path,
        container="safetensors",
        tensors=tensors,
        metadata={name: MetadataValue(type="STRING", value=value) for name, value in metadata.items()},
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} occurs twice")
    return found


def _tensor(path: Path, name: str, value: Any, start: int) -> Tensor:
    if not isinstance(value, dict):
        raise broken(path, f"tensor {name}: its entry is not a JSON object", 8)
    kind, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    kind = _NAMES.get(kind, kind) if isinstance(kind, str) else kind
    if not isinstance(kind, str) or kind not in SAFETENSORS:
        raise broken(path, f"tensor {name}: type {kind!r} is not known", 8)
    if not (isinstance(shape, list) and all(_natural(n) for n in shape)):
        raise broken(path, f"tensor {name}: its shape is {shape!r}", 8)
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(_natural(n) for n in offsets)):
        raise broken(path, f"tensor {name}: its data_offsets are {offsets!r}", 8)
    needed = math.prod(shape) * SIZES[kind][1]
    if offsets[1] - offsets[0] != needed:
        raise broken(
            path,
            f"tensor {name}: shape {shape} of {kind} takes {needed} bytes, not {offsets[1] - offsets[0]}",
            start + offsets[0],
        )
    return Tensor(name=name, shape=tuple(shape), kind=kind, path=path, offset=start + offsets[0])


def _natural(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
