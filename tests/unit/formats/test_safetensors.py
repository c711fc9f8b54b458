from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from harness.formats import safetensors
from tests.unit.formats.tensor_files import ARRAYS, write_arrays


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


def test_the_simple_writer_and_the_planned_one_agree(tmp_path: Path) -> None:
    few = {name: array for name, array in ARRAYS.items() if array.ndim < 5}
    safetensors.write(tmp_path / "a.safetensors", few.items())
    write_arrays(tmp_path / "b.safetensors", few)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
