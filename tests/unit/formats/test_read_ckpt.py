from __future__ import annotations

import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from harness.formats import torch_pickle
from harness.formats.read import read_tensors
from harness.formats.tensor import MetadataValue
from sdcpp.errors import Error, FileInvalid
from tests.unit.formats.tensor_files import (
    ARRAYS,
    EXAMPLES,
    archive,
    check_one_line,
    decode_all,
    write_arrays,
)


def test_a_nested_state_dict_and_the_texts_beside_it(tmp_path: Path) -> None:
    words = torch_pickle.state_dict([("w", (2, 3), "F32")])
    # {"state_dict": <the dict>, "epoch": 3}, around the dict that is there.
    nested = pickle.PROTO + b"\x02}(X\x0a\0\0\0state_dict" + words[2:-1] + b"X\x05\0\0\0epochK\x03u."
    data = np.arange(6, dtype=np.float32)
    file = read_tensors(archive(tmp_path / "x.ckpt", nested, {"data/0": data.tobytes()}))
    assert np.array_equal(file.tensors["w"].values(), data.reshape(2, 3))
    assert file.metadata == {"epoch": MetadataValue(type="STRING", value="3")}


def test_a_transposed_tensor_is_gathered(tmp_path: Path) -> None:
    words = torch_pickle.state_dict([("w", (3, 2), "F32")])
    # Shape (3, 2) and strides (2, 1), pushed as two numbers each; swap the strides.
    swapped = words.replace(b"K\x02K\x01\x86", b"K\x01K\x03\x86")
    assert swapped != words
    data = np.arange(6, dtype=np.float32)
    file = read_tensors(archive(tmp_path / "x.ckpt", swapped, {"data/0": data.tobytes()}))
    assert np.array_equal(file.tensors["w"].values(), data.reshape(2, 3).T)


def test_a_checkpoint_older_than_pytorch_1_6_is_refused_by_that_name(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    stream = io.BytesIO()
    pickle.dump(119547037146038801333356, stream, protocol=2)
    path.write_bytes(stream.getvalue())
    with pytest.raises(FileInvalid, match=r"before PyTorch 1\.6"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("signature", "offset", "flags"), [(b"PK\x01\x02", 8, 1), (b"PK\x03\x04", 6, 0x0800)]
)
def test_zip_flags_that_lie(tmp_path: Path, signature: bytes, offset: int, flags: int) -> None:
    # The members are said to be encrypted, or their names to be UTF-8, which they are not.
    words = torch_pickle.state_dict([("w", (1,), "F32")])
    content = archive(tmp_path / "x.ckpt", words, {"data/0": bytes(4)}).read_bytes()
    for place in (match.start() for match in re.finditer(re.escape(signature), content)):
        head = bytearray(content[place : place + 46])
        head[offset : offset + 2] = flags.to_bytes(2, "little")
        if flags == 0x0800:
            head[30] = 0x80
        content = content[:place] + bytes(head) + content[place + 46 :]
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(FileInvalid, match="zip archive is damaged"):
        read_tensors(tmp_path / "x.ckpt")


def test_a_damaged_directory_or_header_is_refused_in_one_line(tmp_path: Path) -> None:
    # The bytes of names in the zip directory and in the local headers, and the flag that says they are UTF-8.
    whole = write_arrays(tmp_path / "x.ckpt", ARRAYS).read_bytes()
    places = [found.start() for found in re.finditer(rb"PK\x01\x02|PK\x03\x04", whole)]
    random = np.random.default_rng(18)
    damaged = tmp_path / "y.ckpt"
    for _ in range(20 * EXAMPLES):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            data[min(random.choice(places) + random.integers(4, 70), len(data) - 1)] = random.integers(256)
        damaged.write_bytes(data)
        try:
            decode_all(read_tensors(damaged))
        except Error as error:
            check_one_line(error)


@pytest.mark.parametrize("header", [b"PK\x01\x02", b"PK\x03\x04"])
def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path, header: bytes) -> None:
    data = bytearray(write_arrays(tmp_path / "x.ckpt", ARRAYS).read_bytes())
    at = data.index(header)
    flags, name = (8, 46) if header == b"PK\x01\x02" else (6, 30)
    data[at + flags + 1] |= 8  # the names are UTF-8
    data[at + name] = 0xFF
    (tmp_path / "y.ckpt").write_bytes(data)
    with pytest.raises(FileInvalid):
        read_tensors(tmp_path / "y.ckpt")
