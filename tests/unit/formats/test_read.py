"""The three containers: what is written comes back, and what is damaged is named."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from harness.formats import gguf_types, safetensors, torch_pickle
from harness.formats.read import read_tensors
from harness.formats.tensor import File, TensorHeader, decoded
from harness.formats.write import Spec, container_of, write_container
from sdcpp.errors import Error, FileInvalid, TypeUnavailable, UnsafePickle

Arrays = dict[str, np.ndarray[Any, Any]]
ARRAYS: Arrays = {
    "a.lora_down.weight": np.arange(64, dtype=np.float32).reshape(2, 32),
    "a.lora_up.weight": np.arange(8, dtype=np.float16).reshape(4, 2),
    "a.alpha": np.array(2.0, np.float32),
    "five": np.arange(32, dtype=np.float32).reshape(2, 2, 2, 2, 2),
    "none": np.zeros((0, 4), np.float32),
    "no.row": np.zeros((4, 0), np.float32),
}
METADATA = {
    "ss_network_dim": TensorHeader(type="STRING", value="2"),
    "modelspec.license": TensorHeader(type="STRING", value="CC-BY « »"),
    "number": TensorHeader(type="UINT32", value=7),
    "numbers": TensorHeader(type="ARRAY:FLOAT64", value=[1.5, -2.0]),
    "words": TensorHeader(type="ARRAY:STRING", value=["a", ""]),
}
#: Of each fuzzed kind of file; SDCPP_FUZZ=100000 runs for hours.
EXAMPLES = int(os.environ.get("SDCPP_FUZZ", "60"))
KINDS = {"float32": "F32", "float16": "F16"}


def write(path: Path, arrays: Arrays, metadata: dict[str, TensorHeader] | None = None) -> Path:
    specs = [Spec(name=n, shape=a.shape, kind=KINDS[a.dtype.name]) for n, a in arrays.items()]
    write_container(
        path,
        container_of(path),
        specs,
        metadata or {},
        lambda spec, _at: [arrays[spec.name].reshape(-1).view(np.uint8)],
    )
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_shapes_types_and_bytes_come_back(tmp_path: Path, suffix: str) -> None:
    file = read_tensors(write(tmp_path / f"x{suffix}", ARRAYS, METADATA))
    assert list(file.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        tensor = file.tensors[name]
        assert (tensor.shape, tensor.kind) == (array.shape, KINDS[array.dtype.name])
        assert tensor.raw().tobytes() == array.tobytes()
        assert np.array_equal(tensor.values(), array)


@pytest.mark.parametrize("first", [".safetensors", ".gguf", ".ckpt"])
@pytest.mark.parametrize("second", [".safetensors", ".gguf", ".ckpt"])
def test_metadata_survives_any_way_round(tmp_path: Path, first: str, second: str) -> None:
    one = read_tensors(write(tmp_path / f"a{first}", ARRAYS, METADATA))
    two = read_tensors(write(tmp_path / f"b{second}", ARRAYS, dict(one.metadata)))
    last = read_tensors(write(tmp_path / "c.gguf", ARRAYS, dict(two.metadata)))
    assert dict(last.metadata) == METADATA


def test_public_packages_read_what_is_written(tmp_path: Path) -> None:
    back = load_file(write(tmp_path / "x.safetensors", ARRAYS, METADATA))
    assert all(np.array_equal(back[n], a) for n, a in ARRAYS.items())
    found = gguf_package.GGUFReader(
        write(tmp_path / "x.gguf", {k: ARRAYS[k] for k in list(ARRAYS)[:3]}, METADATA)
    )
    assert [t.name for t in found.tensors] == list(ARRAYS)[:3]
    assert np.array_equal(found.tensors[0].data, ARRAYS["a.lora_down.weight"])
    assert found.fields["number"].contents() == 7
    assert found.fields["numbers"].contents() == [1.5, -2.0]
    assert found.fields["words"].contents() == ["a", ""]


def test_what_public_packages_write_is_read(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = read_tensors(tmp_path / "x.safetensors")
    assert file.metadata["format"].value == "pt"
    assert all(np.array_equal(file.tensors[n].values(), a) for n, a in ARRAYS.items())
    gguf_types.write(tmp_path / "x.gguf", {"w": np.ones((4, 32), np.float32)}, "Q8_0")
    assert read_tensors(tmp_path / "x.gguf").tensors["w"].kind == "Q8_0"
    torch_pickle.write(tmp_path / "x.pt", {"w": np.ones((4, 32), np.float16)})
    assert np.array_equal(read_tensors(tmp_path / "x.pt").tensors["w"].values(), np.ones((4, 32)))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "x.gguf", ARRAYS).rename(tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors").container == "gguf"


def test_blocks_are_decoded_as_the_gguf_package_does(tmp_path: Path) -> None:
    values = np.random.default_rng(5).standard_normal((300, 64)).astype(np.float32)
    gguf_types.write(tmp_path / "x.gguf", {"w": values}, "Q4_0")
    pieces = list(read_tensors(tmp_path / "x.gguf").tensors["w"].pieces())
    assert np.array_equal(
        np.concatenate(pieces).reshape(values.shape), gguf_types.read(tmp_path / "x.gguf")["w"]
    )


def test_eight_bit_floats() -> None:
    codes = np.array([0x00, 0x38, 0xB8, 0x7E, 0x7F, 0x01], np.uint8)
    assert np.array_equal(
        decoded(codes, "F8_E4M3"), np.array([0, 1, -1, 448, np.nan, 2**-9], np.float32), equal_nan=True
    )
    codes = np.array([0x3C, 0x7B, 0x7C, 0xFC, 0x01], np.uint8)
    assert np.array_equal(
        decoded(codes, "F8_E5M2"), np.array([1, 57344, np.inf, -np.inf, 2**-16], np.float32)
    )


# --- the ckpt's pickle ---


def archive(path: Path, pickled: bytes, members: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in (members or {}).items():
            file.writestr(f"archive/{name}", data)
    return path


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    evil = pickle.dumps({"w": _Evil(tmp_path / "ran")}, protocol=protocol)
    with pytest.raises(UnsafePickle, match=r"(getattr|pathlib\S*) at byte \d+"):
        read_tensors(archive(tmp_path / "x.ckpt", evil))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "builtins eval",
        "torch load",
        "torch._utils _rebuild_sparse_tensor",
        "collections Counter",
    ],
)
def test_every_name_but_those_of_tensors_is_refused(tmp_path: Path, name: str) -> None:
    module, function = name.split()
    with pytest.raises(UnsafePickle, match=f"{module}.{function}"):
        read_tensors(archive(tmp_path / "x.ckpt", b"\x80\x02c" + f"{module}\n{function}\n".encode() + b")R."))


def test_a_nested_state_dict_and_the_texts_beside_it(tmp_path: Path) -> None:
    words = torch_pickle.state_dict([("w", (2, 3), "FloatStorage")])
    # {"state_dict": <the dict>, "epoch": 3}, around the dict that is there.
    nested = pickle.PROTO + b"\x02}(X\x0a\0\0\0state_dict" + words[2:-1] + b"X\x05\0\0\0epochK\x03u."
    data = np.arange(6, dtype=np.float32)
    file = read_tensors(archive(tmp_path / "x.ckpt", nested, {"data/0": data.tobytes()}))
    assert np.array_equal(file.tensors["w"].values(), data.reshape(2, 3))
    assert file.metadata == {"epoch": TensorHeader(type="STRING", value="3")}


def test_a_transposed_tensor_is_gathered(tmp_path: Path) -> None:
    words = torch_pickle.state_dict([("w", (3, 2), "FloatStorage")])
    # Shape (3, 2) and strides (2, 1), pushed as two numbers each; swap the strides.
    swapped = words.replace(b"K\x02K\x01\x86", b"K\x01K\x03\x86")
    assert swapped != words
    data = np.arange(6, dtype=np.float32)
    file = read_tensors(archive(tmp_path / "x.ckpt", swapped, {"data/0": data.tobytes()}))
    assert np.array_equal(file.tensors["w"].values(), data.reshape(2, 3).T)


# --- damage ---


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


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"x{suffix}", {k: v for k, v in ARRAYS.items() if v.size}).read_bytes()
    for length in range(0, len(whole) - 31, 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(FileInvalid) as caught:
            read_tensors(tmp_path / "cut")
        assert "\n" not in str(caught.value)


def _touch(file: File) -> None:
    for tensor in file.tensors.values():
        if tensor.nbytes < 1 << 20:
            tensor.values()
            list(tensor.pieces())


def one_line(error: Error) -> None:
    if "\n" in str(error):
        pytest.fail(f"more than a line: {error}")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def fuzz_bytes(path: Path, whole: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    """Read a file with some bytes changed: it is read, or refused with an error of this project."""
    data = bytearray(whole)
    for place, value in edits:
        data[place % len(data)] = value
    path.write_bytes(data[: len(data) - cut % len(data)] if cut else data)
    try:
        with np.errstate(all="ignore"):
            _touch(read_tensors(path))
    except Error as error:
        one_line(error)


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_changed_bytes_never_surprise(suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = write(folder / f"x{suffix}", ARRAYS, METADATA).read_bytes()

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        edits=st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6),
        cut=st.one_of(st.just(0), st.integers(0, len(whole))),
    )
    def run(edits: list[tuple[int, int]], cut: int) -> None:
        fuzz_bytes(folder / "y", whole, edits, cut)

    run()


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
def test_any_safetensors_header(fuzzed: Path, header: Any, tail: bytes) -> None:
    text = json.dumps(header).encode()
    path = fuzzed / "x"
    path.write_bytes(struct.pack("<Q", len(text)) + text + tail)
    try:
        _touch(read_tensors(path))
    except Error as error:
        one_line(error)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    tokens=st.lists(
        st.sampled_from([*b"(){}[]lt\x85\x86\x87QR.ub0aes2Nq\x00h\x00cX\x8c\x93\x94K\x05"]), max_size=30
    )
)
def test_any_pickle(fuzzed: Path, tokens: list[int]) -> None:
    path = fuzzed / "x.ckpt"
    head = b"\x80\x02}q\x00ctorch._utils\n_rebuild_tensor_v2\nctorch\nFloatStorage\n"
    try:
        _touch(read_tensors(archive(path, head + bytes(tokens) + b".")))
    except Error as error:
        one_line(error)


def test_a_type_that_a_container_cannot_hold(tmp_path: Path) -> None:
    spec = [Spec(name="w", shape=(1, 32), kind="Q8_0")]
    for suffix in ("safetensors", "ckpt"):
        with pytest.raises(TypeUnavailable, match="Q8_0"):
            write_container(tmp_path / "x", suffix, spec, {}, lambda *_: [np.zeros(34, np.uint8)])
    with pytest.raises(FileInvalid, match="names no container"):
        container_of(tmp_path / "x.bin")


def test_a_name_that_ggml_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="130 bytes"):
        write(tmp_path / "x.gguf", {"n" * 130: np.ones(1, np.float32)})


def test_an_older_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    stream = io.BytesIO()
    pickle.dump(119547037146038801333356, stream, protocol=2)
    path.write_bytes(stream.getvalue())
    with pytest.raises(FileInvalid, match=r"before PyTorch 1\.6"):
        read_tensors(path)


def test_the_simple_writer_and_the_planned_one_agree(tmp_path: Path) -> None:
    few = {name: array for name, array in ARRAYS.items() if array.ndim < 5}
    safetensors.write(tmp_path / "a.safetensors", few.items())
    write(tmp_path / "b.safetensors", few)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
