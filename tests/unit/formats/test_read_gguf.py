from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.formats import read_gguf
from harness.malformed.fields import gguf
from harness.malformed.fields.gguf import Array, Number
from harness.malformed.fields.pieces import Pieces
from sdcpp.errors import FileInvalid

TENSORS: dict[str, NDArray[np.generic]] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(4, dtype=np.float16),
}
METADATA: gguf.Metadata = {
    "general.alignment": Number("I", 32),
    "text": "ä",
    "number": Number("q", -5),
    "list": Array("H", (1, 2)),
    "words": Array("s", ("x", "")),
}


def pieces(changed: Mapping[str, bytes] | None = None, metadata: gguf.Metadata = METADATA) -> Pieces:
    """Return the fields of a file of two tensors, some of them changed."""
    parts = gguf.build_fields(TENSORS, metadata)
    assert set(changed or {}) <= set(parts)
    return {**parts, **(changed or {})}


def written(path: Path, parts: Pieces) -> Path:
    path.write_bytes(gguf.build_file(parts))
    return path


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def test_tensors_and_metadata_are_read(tmp_path: Path) -> None:
    file = read_gguf.read(written(tmp_path / "x.gguf", pieces()))
    assert {name: tensor.values().tolist() for name, tensor in file.tensors.items()} == {
        name: array.tolist() for name, array in TENSORS.items()
    }
    assert {key: (entry.type, entry.value) for key, entry in file.metadata.items()} == {
        "general.alignment": ("UINT32", 32),
        "text": ("STRING", "ä"),
        "number": ("INT64", -5),
        "list": ("ARRAY:UINT16", [1, 2]),
        "words": ("ARRAY:STRING", ["x", ""]),
    }


def test_version_2_is_read_and_shapes_that_gguf_cannot_say_are_restored(tmp_path: Path) -> None:
    shapes = json.dumps({"a": [1, 1, 2, 1, 3], "b": [5]})  # b has four elements: not its shape
    parts = pieces({"version": u32(2)}, {**METADATA, read_gguf.SHAPES: shapes})
    file = read_gguf.read(written(tmp_path / "x.gguf", parts))
    assert file.tensors["a"].shape == (1, 1, 2, 1, 3)
    assert file.tensors["b"].shape == (4,)
    assert read_gguf.SHAPES not in file.metadata


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"magic": b"GGUX"}, "no GGUF file, at byte 0"),
        ({"version": u32(1)}, "version 1 is not supported, at byte 4"),
        ({"version": struct.pack(">I", 3)}, r"big endian\) is not supported"),
        ({"tensor-count": u64(1 << 40)}, "cannot hold .* at byte 8"),
        ({"kv0-value": u32(12)}, "alignment 12"),
        ({"kv3-key": b"text"}, "entry 'text' occurs twice"),
        ({"kv2-type": u32(99)}, "entry number: value type 99 is not known"),
        ({"kv3-count": u64(1 << 50)}, "entry list: an array of .* does not fit"),
        ({"t1-name": b"a"}, "tensor a occurs twice"),
        ({"t0-name": b"\xff"}, "no UTF-8"),
        ({"t0-n-dims": u32(5)}, "tensor a: 5 dimensions"),
        ({"t0-dim0": u64(1 << 63)}, "tensor a: its shape is"),
        ({"t0-type": u32(4)}, "tensor a: type number 4 is not known"),
        ({"t0-type": u32(8)}, "tensor a: rows of 3 are not whole blocks of 32 .Q8_0"),
        ({"t1-offset": u64(8)}, "tensor b.* not aligned to 32 bytes"),
        ({"t1-offset": u64(1 << 20)}, "tensor b.* would end at byte"),
        ({"t1-offset": u64(0)}, "tensor b.* overlaps|tensor a.* overlaps"),
    ],
)
def test_a_contradiction_is_named_with_its_tensor_or_entry(
    tmp_path: Path, changed: dict[str, bytes], complaint: str
) -> None:
    path = written(tmp_path / "x.gguf", pieces(changed))
    with pytest.raises(FileInvalid, match=complaint) as caught:
        read_gguf.read(path)
    assert "at byte" in str(caught.value)
    assert str(path) in str(caught.value)


def test_bytes_that_belong_to_no_tensor_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.gguf", pieces())
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(31 - (len(whole) - 1) % 32))
    read_gguf.read(path)  # the padding of the last tensor may be there
    path.write_bytes(whole + bytes(64))
    with pytest.raises(FileInvalid, match="belong to no tensor"):
        read_gguf.read(path)
