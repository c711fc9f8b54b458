from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.formats import gguf_types
from harness.formats.read import read_tensors
from harness.formats.tensor import decoded


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


def test_an_empty_quantised_tensor_has_no_values() -> None:
    assert decoded(np.zeros(0, np.uint8), "Q4_0").shape == (0,)
