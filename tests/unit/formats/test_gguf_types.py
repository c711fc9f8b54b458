from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from harness.formats import gguf_types
from sdcpp.errors import FileInvalid, TypeUnavailable


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

    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "x.gguf").tensors}
    assert kinds == {"whole": "Q8_0", "part": "F16", "scalar": "F32"}


def test_gguf_names_a_type_that_it_cannot_make(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="Q4_K"):
        gguf_types.write(tmp_path / "x.gguf", {"w": np.ones((2, 256), np.float32)}, "Q4_K")


def test_a_type_that_the_package_cannot_decode_is_decoded_by_another(tmp_path: Path) -> None:
    blocks = np.arange(4 * 18, dtype=np.uint8).reshape(4, 18)
    values = np.random.default_rng(3).standard_normal((4, 128)).astype(np.float32)
    asked: list[tuple[str, tuple[int, ...]]] = []

    def dequantise(data: np.ndarray[tuple[int, int], np.dtype[np.uint8]], kind: str) -> np.ndarray:
        assert np.array_equal(data, blocks)
        asked.append((kind, data.shape))
        return values

    assert (gguf_types.can_write("Q1_0"), gguf_types.can_read("Q1_0")) == (True, False)
    assert gguf_types.can_read("IQ2_XXS")
    assert not gguf_types.can_write("Q0_9")
    assert not gguf_types.can_read("Q0_9")
    gguf_types.write(tmp_path / "x.gguf", {"w": values}, "Q1_0", quantise=lambda *_: blocks)
    assert np.array_equal(gguf_types.read(tmp_path / "x.gguf", dequantise)["w"], values)
    assert asked == [("Q1_0", (4, 18))]
    with pytest.raises(TypeUnavailable, match="cannot decode a type: Q1_0"):
        gguf_types.read(tmp_path / "x.gguf")
