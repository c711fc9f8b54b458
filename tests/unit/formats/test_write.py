from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from harness.formats import gguf_types, safetensors, torch_pickle
from sdcpp.errors import FileInvalid


def test_safetensors_is_read_back_by_the_reference_implementation(tmp_path: Path) -> None:
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(1.5, np.float16),
    }
    safetensors.write(tmp_path / "x.safetensors", tensors.items())
    back = load_file(tmp_path / "x.safetensors")
    assert np.array_equal(back["a"], tensors["a"])
    assert back["b"].shape == ()
    assert back["b"] == np.float16(1.5)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@settings(max_examples=50, deadline=None)
@given(shapes=st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=5))
def test_safetensors_of_any_shapes(shapes: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    tensors = {f"t{i}": np.random.default_rng(i).random(s).astype(np.float32) for i, s in enumerate(shapes)}
    safetensors.write(path, tensors.items())
    back = load_file(path)
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())


class _OnlyTensors(pickle.Unpickler):
    """Follows a ckpt's pickle with stand-ins for the three names that torch.save writes, and no others."""

    def __init__(self, file: Any, archive: zipfile.ZipFile) -> None:
        super().__init__(file)
        self.archive = archive

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, place, count = pid
        assert (kind, place) == ("storage", "cpu")
        data = np.frombuffer(self.archive.read(f"archive/data/{key}"), dtype)
        assert data.size == count
        return data

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): self.rebuild,
            ("torch", "FloatStorage"): np.float32,
            ("torch", "HalfStorage"): np.float16,
            ("collections", "OrderedDict"): dict,
        }
        return known[module, name]

    @staticmethod
    def rebuild(data: Any, offset: int, shape: Any, stride: Any, grad: bool, hooks: Any) -> Any:  # noqa: PLR0917
        assert (offset, grad, hooks) == (0, False, {})
        array = data.reshape(shape)
        assert tuple(s // array.itemsize for s in array.strides) == tuple(stride)
        return array


def test_ckpt_is_a_state_dict_of_tensors_and_nothing_else(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    # More than 256 memo entries, so that both widths of memo opcode occur.
    tensors = {f"t{i}": draw.random((i % 3 + 1, 300)).astype(np.float16) for i in range(60)}
    tensors |= {
        "conv": draw.random((2, 3, 3, 3)).astype(np.float16),
        "row": draw.random(5).astype(np.float16),
    }
    torch_pickle.write(tmp_path / "x.ckpt", tensors)
    with zipfile.ZipFile(tmp_path / "x.ckpt") as archive:
        words = archive.read("archive/data.pkl")
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open("archive/data.pkl") as file:
            back = _OnlyTensors(file, archive).load()
    assert list(back) == list(tensors)
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())
    named = {arg for op, arg, _ in pickletools.genops(words) if op.name == "GLOBAL"}
    assert named == {"torch._utils _rebuild_tensor_v2", "torch HalfStorage", "collections OrderedDict"}


def test_gguf_floats_are_exact(tmp_path: Path) -> None:
    tensors = {
        "up": np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32),
        "alpha": np.array([16.0], np.float32),
    }
    gguf_types.write(tmp_path / "x.gguf", tensors, "F32")
    back = gguf_types.read(tmp_path / "x.gguf")
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())
    assert back["up"].shape == (2, 32)


@pytest.mark.parametrize(("kind", "bound"), [("F16", 5e-4), ("BF16", 4e-3), ("Q8_0", 0.01), ("Q4_0", 0.12)])
def test_gguf_keeps_what_its_type_can_hold(tmp_path: Path, kind: str, bound: float) -> None:
    array = np.random.default_rng(3).standard_normal((8, 64)).astype(np.float32)
    gguf_types.write(tmp_path / "x.gguf", {"w": array}, kind)
    back = gguf_types.read(tmp_path / "x.gguf")["w"]
    error = np.linalg.norm(back - array) / np.linalg.norm(array)
    assert 0 < error < bound


def test_gguf_quantises_whole_blocks_only(tmp_path: Path) -> None:
    tensors = {
        "whole": np.ones((4, 32), np.float32),
        "part": np.ones((4, 20), np.float32),
        "scalar": np.ones(1, np.float32),
    }
    gguf_types.write(tmp_path / "x.gguf", tensors, "Q8_0")
    from gguf import GGUFReader

    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "x.gguf").tensors}
    assert kinds == {"whole": "Q8_0", "part": "F16", "scalar": "F32"}


def test_gguf_names_a_type_that_it_cannot_make(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="Q4_K"):
        gguf_types.write(tmp_path / "x.gguf", {"w": np.ones((2, 256), np.float32)}, "Q4_K")
