from __future__ import annotations

import numpy as np
import pytest

from harness.converter import block_codes
from harness.quantising.package_quantiser import PackageQuantiser

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
PACKAGE = PackageQuantiser()
ROWS, BLOCKS = 7, 3
VALUES = np.random.default_rng(3).standard_normal((ROWS, 32 * BLOCKS))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_that_are_split_and_rewritten_have_the_same_bytes_and_values(kind: str) -> None:
    blocks = PACKAGE.nearest(VALUES, kind)
    values = PACKAGE.dequantise(blocks, kind).astype(np.float64)
    grid = block_codes.grid(blocks, kind)
    codes = np.stack([grid.codes(values[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    decoded = np.stack([grid.values(codes[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    assert np.array_equal(decoded.astype(np.float32), values.astype(np.float32))
    assert np.array_equal(block_codes.with_codes(blocks, codes, kind), blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_decodes_blocks_with_other_codes_to_the_values_of_these_codes(kind: str) -> None:
    blocks = PACKAGE.nearest(VALUES, kind)
    grid = block_codes.grid(blocks, kind)
    codes = np.random.default_rng(4).integers(grid.low, grid.high + 1, VALUES.shape).astype(np.float64)
    wanted = np.stack([grid.values(codes[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    decoded = PACKAGE.dequantise(block_codes.with_codes(blocks, codes, kind), kind)
    assert np.array_equal(decoded, wanted.astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_values_outside_the_grid_are_clipped_and_blocks_of_zeros_stay_zero(kind: str) -> None:
    blocks = PACKAGE.nearest(np.concatenate([VALUES, np.zeros_like(VALUES)]), kind)
    grid = block_codes.grid(blocks, kind)
    far = np.full(2 * ROWS, 1e6) * np.where(grid.scale[:, 0] < 0, -1, 1)
    assert grid.codes(far, 0).tolist() == [grid.high] * ROWS + [0] * ROWS
    assert grid.codes(-far, 0).tolist() == [grid.low] * ROWS + [0] * ROWS
    assert np.array_equal(grid.values(grid.codes(far, 0), 0)[ROWS:], np.zeros(ROWS))


def test_only_the_simple_types_are_supported() -> None:
    assert {kind for kind in PACKAGE.NAMES if block_codes.supports(kind)} == set(KINDS)
