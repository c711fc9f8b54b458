"""The three containers: what is written comes back, and what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from harness.formats import gguf_types, write
from harness.formats.read import read_tensors
from sdcpp.errors import Error, FileInvalid
from tests.unit.formats.tensor_files import (
    ARRAYS,
    EXAMPLES,
    KINDS,
    METADATA,
    check_one_line,
    decode_all,
    write_arrays,
)


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_shapes_types_and_bytes_come_back(tmp_path: Path, suffix: str) -> None:
    file = read_tensors(write_arrays(tmp_path / f"x{suffix}", ARRAYS, METADATA))
    assert list(file.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        tensor = file.tensors[name]
        assert (tensor.shape, tensor.kind) == (array.shape, KINDS[array.dtype.name])
        assert tensor.raw().tobytes() == array.tobytes()
        assert np.array_equal(tensor.values(), array)


@pytest.mark.parametrize("first", [".safetensors", ".gguf", ".ckpt"])
@pytest.mark.parametrize("second", [".safetensors", ".gguf", ".ckpt"])
def test_metadata_survives_any_way_round(tmp_path: Path, first: str, second: str) -> None:
    one = read_tensors(write_arrays(tmp_path / f"a{first}", ARRAYS, METADATA))
    two = read_tensors(write_arrays(tmp_path / f"b{second}", ARRAYS, dict(one.metadata)))
    last = read_tensors(write_arrays(tmp_path / "c.gguf", ARRAYS, dict(two.metadata)))
    assert dict(last.metadata) == METADATA


def test_what_public_packages_write_is_read(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = read_tensors(tmp_path / "x.safetensors")
    assert file.metadata["format"].value == "pt"
    assert all(np.array_equal(file.tensors[n].values(), a) for n, a in ARRAYS.items())
    gguf_types.write(tmp_path / "x.gguf", {"w": np.ones((4, 32), np.float32)}, "Q8_0")
    assert read_tensors(tmp_path / "x.gguf").tensors["w"].kind == "Q8_0"
    write.write_arrays(tmp_path / "x.pt", "ckpt", {"w": np.ones((4, 32), np.float16)})
    assert np.array_equal(read_tensors(tmp_path / "x.pt").tensors["w"].values(), np.ones((4, 32)))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.gguf", ARRAYS).rename(tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors").container == "gguf"


# --- the ckpt's pickle ---


# --- damage ---


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    whole = write_arrays(tmp_path / f"x{suffix}", {k: v for k, v in ARRAYS.items() if v.size}).read_bytes()
    for length in range(0, len(whole) - 31, 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(FileInvalid) as caught:
            read_tensors(tmp_path / "cut")
        assert "\n" not in str(caught.value)


def fuzz_bytes(path: Path, whole: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    """Read a file with some bytes changed: it is read, or refused with an error of this project."""
    data = bytearray(whole)
    for place, value in edits:
        data[place % len(data)] = value
    path.write_bytes(data[: len(data) - cut % len(data)] if cut else data)
    try:
        with np.errstate(all="ignore"):
            decode_all(read_tensors(path))
    except Error as error:
        check_one_line(error)


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_changed_bytes_are_read_or_refused_with_an_error_of_this_project(
    suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = write_arrays(folder / f"x{suffix}", ARRAYS, METADATA).read_bytes()

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        edits=st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6),
        cut=st.one_of(st.just(0), st.integers(0, len(whole))),
    )
    def run(edits: list[tuple[int, int]], cut: int) -> None:
        fuzz_bytes(folder / "y", whole, edits, cut)

    run()
