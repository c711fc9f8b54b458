from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader

from harness.malformed.fields import gguf
from harness.malformed.sound_file import METADATA, sound_file
from tests.unit.fake_models import BASE

SEED = sound_file(BASE)

TENSORS = dict(SEED.tensors)


def read_gguf(content: bytes, folder: Path) -> GGUFReader:
    path = folder / "x.gguf"
    path.write_bytes(content)
    return GGUFReader(path)


def test_gguf_is_read_by_the_reference_reader(tmp_path: Path) -> None:
    reader = read_gguf(gguf.build_file(SEED.gguf()), tmp_path)
    assert {tensor.name for tensor in reader.tensors} == set(TENSORS)
    for tensor in reader.tensors:
        wanted = TENSORS[tensor.name]
        assert np.array_equal(tensor.data.reshape(wanted.shape), wanted)
        assert tensor.data_offset % 32 == 0
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields == {
        "general.architecture": "lora",
        "general.alignment": 32,
        "test.numbers": [1, 2, 3],
        "test.strings": ["one", "two"],
        "test.flag": True,
    }
    assert set(fields) == set(METADATA)


def test_big_endian_gguf_is_read_by_the_reference_reader(tmp_path: Path) -> None:
    reader = read_gguf(gguf.build_file(gguf.build_fields(TENSORS, METADATA, order=">")), tmp_path)
    for tensor in reader.tensors:
        assert np.array_equal(tensor.data.reshape(TENSORS[tensor.name].shape), TENSORS[tensor.name])
