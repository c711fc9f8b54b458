from __future__ import annotations

import numpy as np
import pytest

from harness.converter.cast import cast
from harness.formats.tensor import NUMPY, decoded

#: Lower halves of a float32, which decide how bfloat16 rounds: exact, just above, a tie and its neighbours, the
#: largest.
LOWER = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)


def bfloat16(values: np.ndarray) -> np.ndarray:
    return cast(values, "BF16").view(np.uint16)


def test_bfloat16_rounds_to_nearest_and_ties_to_even() -> None:
    # Every sign, exponent and mantissa of bfloat16, including subnormals, zeros and infinities.
    bits = ((np.arange(1 << 16, dtype=np.uint32) << 16)[:, None] | LOWER).reshape(-1)
    values = bits.view(np.float32)
    bits = bits[~np.isnan(values)]
    wanted = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    assert np.array_equal(bfloat16(bits.view(np.float32)), wanted)


def test_bfloat16_of_nan_is_a_quiet_nan_with_the_same_sign() -> None:
    bits = np.array([0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFC00000, 0xFF800001, 0xFFFFFFFF], np.uint32)
    assert bfloat16(bits.view(np.float32)).tolist() == [0x7FC0] * 3 + [0xFFC0] * 3


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1.00390625, 0x3F80),  # a tie, down to even
        (1.01171875, 0x3F82),  # a tie, up to even
        (3.4e38, 0x7F80),  # beyond the largest finite value
        (-np.inf, 0xFF80),
        (1e-40, 0x0001),  # subnormal in both types
        (-0.0, 0x8000),
    ],
)
def test_bfloat16_of_single_values(value: float, wanted: int) -> None:
    assert bfloat16(np.array([value])).tolist() == [wanted]


@pytest.mark.parametrize(("kind", "most"), [("F8_E4M3", 448), ("F8_E5M2", 57344)])
def test_eight_bit_floats_are_the_nearest(kind: str, most: float) -> None:
    codes = np.arange(256, dtype=np.uint8)
    known = decoded(codes, kind)
    known = np.unique(known[np.isfinite(known)].astype(np.float64))
    assert known.max() == most
    generator = np.random.default_rng(1)
    values = np.clip(generator.standard_normal(4000) * 2.0 ** generator.integers(-18, 18, 4000), -most, most)
    found = decoded(cast(values, kind), kind).astype(np.float64)
    nearest = np.abs(values[:, None] - known).min(axis=1)
    assert np.array_equal(np.abs(values - found), nearest)
    # Halfway between two neighbours, the neighbour with the even code is chosen.
    low, high = known[known >= 0][:-1], known[known >= 0][1:]
    ties = cast((low + high) / 2, kind)
    assert not np.any(ties & 1)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_every_value_of_a_type_is_kept(kind: str) -> None:
    width = NUMPY[kind].itemsize
    raw = np.arange(1 << 8 * width, dtype=f"u{width}").view(np.uint8)
    values = decoded(raw, kind)
    number = ~np.isnan(values)
    assert np.array_equal(cast(values[number], kind), raw.reshape(-1, width)[number].reshape(-1))
    assert np.isnan(decoded(cast(values[~number], kind), kind)).all()


def test_values_beyond_the_range_of_a_type_become_infinite_or_nan() -> None:
    big = np.array([1e30, -1e30])
    assert decoded(cast(big, "F16"), "F16").tolist() == [np.inf, -np.inf]
    assert decoded(cast(big, "F8_E5M2"), "F8_E5M2").tolist() == [np.inf, -np.inf]
    assert np.isnan(decoded(cast(big, "F8_E4M3"), "F8_E4M3")).all()
