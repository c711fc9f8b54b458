from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from harness.formats import write
from harness.formats.write import Spec, container_of, write_container
from sdcpp.errors import FileInvalid, TypeUnavailable
from tests.unit.formats.tensor_files import ARRAYS, METADATA, write_arrays


def test_public_packages_read_what_is_written(tmp_path: Path) -> None:
    back = load_file(write_arrays(tmp_path / "x.safetensors", ARRAYS, METADATA))
    assert all(np.array_equal(back[n], a) for n, a in ARRAYS.items())
    found = gguf_package.GGUFReader(
        write_arrays(tmp_path / "x.gguf", {k: ARRAYS[k] for k in list(ARRAYS)[:3]}, METADATA)
    )
    assert [t.name for t in found.tensors] == list(ARRAYS)[:3]
    assert np.array_equal(found.tensors[0].data, ARRAYS["a.lora_down.weight"])
    assert found.fields["number"].contents() == 7
    assert found.fields["numbers"].contents() == [1.5, -2.0]
    assert found.fields["words"].contents() == ["a", ""]


def test_a_type_that_a_container_cannot_hold(tmp_path: Path) -> None:
    spec = [Spec(name="w", shape=(1, 32), kind="Q8_0")]
    for suffix in ("safetensors", "ckpt"):
        with pytest.raises(TypeUnavailable, match="Q8_0"):
            write_container(tmp_path / "x", suffix, spec, {}, lambda *_: [np.zeros(34, np.uint8)])
    with pytest.raises(FileInvalid, match="names no container"):
        container_of(tmp_path / "x.bin")


def test_a_name_that_ggml_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="130 bytes"):
        write_arrays(tmp_path / "x.gguf", {"n" * 130: np.ones(1, np.float32)})


def test_safetensors_is_read_back_by_the_reference_implementation(tmp_path: Path) -> None:
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(1.5, np.float16),
    }
    write.write_arrays(tmp_path / "x.safetensors", "safetensors", tensors)
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
    write.write_arrays(path, "safetensors", tensors)
    back = load_file(path)
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())
