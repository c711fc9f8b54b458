from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load

from harness.formats import torch_pickle as plain_ckpt
from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import Pieces, concatenate, ends, without
from harness.malformed.sound_file import METADATA, RANK, sound_file
from tests.unit.fake_models import BASE

SEED = sound_file(BASE)
TENSORS = dict(SEED.tensors)


def read_gguf(content: bytes, folder: Path) -> GGUFReader:
    path = folder / "x.gguf"
    path.write_bytes(content)
    return GGUFReader(path)


def test_the_seed_has_two_pairs_of_one_rank() -> None:
    assert [name.split(".", 1) for name in TENSORS] == [
        [key, part]
        for key in (SEED.first, SEED.second)
        for part in ("alpha", "lora_down.weight", "lora_up.weight")
    ]
    assert {array.dtype for array in TENSORS.values()} == {np.dtype(np.float16)}
    assert TENSORS[f"{SEED.first}.alpha"].tolist() == [RANK]


def test_pieces_join_to_the_file_and_end_where_they_say() -> None:
    parts: Pieces = {"a": b"12", "b": b"", "c": b"345"}
    assert concatenate(parts) == b"12345"
    assert ends(parts) == {"a": 2, "b": 2, "c": 5}
    assert without(parts, "b") == {"a": b"12", "c": b"345"}
    with pytest.raises(KeyError):
        without(parts, "d")


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


def test_safetensors_is_read_by_the_reference_reader() -> None:
    content = safetensors.build_file(SEED.safetensors())
    back = load(content)
    assert list(back) == sorted(TENSORS) or set(back) == set(TENSORS)
    assert all(np.array_equal(back[name], array) for name, array in TENSORS.items())
    assert ends(SEED.safetensors())[safetensors.LAST] % 8 == 0


def test_ckpt_is_what_the_plain_writer_writes(tmp_path: Path) -> None:
    plain_ckpt.write(tmp_path / "x.ckpt", TENSORS)
    with (
        zipfile.ZipFile(tmp_path / "x.ckpt") as plain,
        zipfile.ZipFile(io.BytesIO(concatenate(ckpt.zipped(SEED.ckpt())))) as mine,
    ):
        assert mine.namelist() == plain.namelist()
        assert mine.testzip() is None
        assert all(mine.read(name) == plain.read(name) for name in plain.namelist())
    assert [op.name for op, _, _ in pickletools.genops(concatenate(SEED.pickle()))][-1] == "STOP"


def test_members_are_aligned_as_torch_does_it() -> None:
    content = concatenate(ckpt.zipped(SEED.ckpt(), align=64))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            head = content[info.header_offset : info.header_offset + 30]
            begin = (
                info.header_offset
                + 30
                + int.from_bytes(head[26:28], "little")
                + int.from_bytes(head[28:], "little")
            )
            assert begin % 64 == 0


def test_zip_fields_lie_where_they_are_looked_for() -> None:
    parts = ckpt.zipped(SEED.ckpt())
    for name, value in {"size": 77, "crc": 78, "offset": 79, "method": 8}.items():
        piece = ckpt.field(parts["central2"], ckpt.CENTRAL[name], value)
        info = zipfile.ZipFile(io.BytesIO(concatenate({**parts, "central2": piece}))).infolist()[2]
        found = {
            "size": info.file_size,
            "crc": info.CRC,
            "offset": info.header_offset,
            "method": info.compress_type,
        }
        assert found[name] == value


@pytest.mark.parametrize(
    "value", [0, 255, 256, 65535, 65536, -1, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, -(1 << 63)]
)
def test_integers_are_what_pickletools_reads(value: int) -> None:
    [(op, argument, _), _] = list(pickletools.genops(ckpt.integer(value) + b"."))
    assert argument == value
    assert op.name in {"BININT1", "BININT2", "BININT", "LONG1"}
