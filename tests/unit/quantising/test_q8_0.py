from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import quants

from harness.quantising.q8_0 import F32, quantise_q8_0


def blocks(values: F32) -> tuple[bool, np.ndarray]:
    """Return whether ``values`` were quantised, and the blocks."""
    target = np.full(values.size // 32 * 34, 99, np.uint8)
    scratch = np.full(values.size, np.nan, np.float32), np.full(values.size, np.nan, np.float32)
    return quantise_q8_0(values, target, scratch), target


def packaged(values: F32) -> np.ndarray:
    """Return the blocks that the gguf package makes, which are those of ggml's reference."""
    return np.asarray(quants.quantize(values, gguf.GGMLQuantizationType.Q8_0))


@pytest.mark.parametrize("size", [1e-30, 1e-4, 1.0, 1e6, 1e30])
def test_random_values_have_the_bytes_of_the_package(size: float) -> None:
    values = (np.random.default_rng(1).standard_normal(64 * 1024) * size).astype(np.float32)
    made, target = blocks(values)
    assert made
    with np.errstate(over="ignore"):
        assert np.array_equal(target, packaged(values))


def test_ties_zeros_and_signs_have_the_bytes_of_the_package() -> None:
    # With 127 as the largest value the scale is 1: every half is a tie, which is rounded away from zero.
    halves = (np.arange(-127, 127) + 0.5).astype(np.float32)
    near = np.nextafter(halves, np.float32(0), dtype=np.float32)
    numbers = np.concatenate([halves, near, -near, np.array([0.0, -0.0] * 16, np.float32)])
    numbers = np.resize(numbers, -(-numbers.size // 31) * 31).reshape(-1, 31)
    values = np.hstack([numbers, np.full((len(numbers), 1), 127, np.float32)])
    values = (
        np.concatenate([values, np.zeros((2, 32)), np.full((1, 32), -0.0)]).astype(np.float32).reshape(-1)
    )
    made, target = blocks(values)
    assert made
    assert np.array_equal(target, packaged(values))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-40])
def test_what_has_no_finite_scale_and_reciprocal_is_left_to_ggml(value: float) -> None:
    values = np.zeros(64, np.float32)
    values[40] = value
    made, target = blocks(values)
    assert not made
    assert np.all(target == 99)
