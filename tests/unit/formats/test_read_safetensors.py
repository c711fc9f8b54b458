from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.formats.read import read_tensors
from sdcpp.errors import Error, FileInvalid
from tests.unit.formats.tensor_files import EXAMPLES, check_one_line, decode_all


def test_complaints_name_the_tensor_and_the_byte_on_one_line(tmp_path: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]}}
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(12))
    with pytest.raises(FileInvalid) as caught:
        read_tensors(path)
    assert str(caught.value) == (
        f"tensor w: shape [2, 2] of F32 takes 16 bytes, not 12, at byte {8 + len(text)}: {path}; "
        "fetch or convert the file again"
    )


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)

_entry = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "Q8_0", 3]),
        "shape": st.lists(st.integers(-1, 4) | st.just(2**62), max_size=5),
        "data_offsets": st.lists(st.integers(-1, 64), min_size=1, max_size=3),
    }
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    header=st.dictionaries(st.text(max_size=4), _entry | _json, max_size=4) | _json,
    tail=st.binary(max_size=64),
)
def test_any_header_is_read_or_refused_with_an_error_of_this_project(
    fuzz_folder: Path, header: Any, tail: bytes
) -> None:
    text = json.dumps(header).encode()
    path = fuzz_folder / "x"
    path.write_bytes(struct.pack("<Q", len(text)) + text + tail)
    try:
        decode_all(read_tensors(path))
    except Error as error:
        check_one_line(error)


@pytest.mark.parametrize("shape", [[0, 1 << 58, 2], [1 << 40, 0, 1 << 30]])
def test_an_empty_tensor_with_axes_that_no_array_has_is_refused(tmp_path: Path, shape: list[int]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FileInvalid, match="its shape is"):
        read_tensors(path)


def test_a_tensor_of_too_many_axes_has_no_values(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(FileInvalid, match="65 axes"):
        read_tensors(path).tensors["a"].values()
