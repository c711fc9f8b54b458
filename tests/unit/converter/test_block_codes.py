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
def test_blocks_taken_apart_and_put_together_are_the_same_bytes_and_values(kind: str) -> None:
    blocks = PACKAGE.nearest(VALUES, kind)
    values = PACKAGE.dequantise(blocks, kind).astype(np.float64)
    grid = block_codes.grid(blocks, kind)
    codes = np.stack([grid.codes(values[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    again = np.stack([grid.decoded(codes[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    assert np.array_equal(again.astype(np.float32), values.astype(np.float32))
    assert np.array_equal(block_codes.packed(blocks, codes, kind), blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_other_codes_are_what_the_package_decodes(kind: str) -> None:
    blocks = PACKAGE.nearest(VALUES, kind)
    grid = block_codes.grid(blocks, kind)
    codes = np.random.default_rng(4).integers(grid.low, grid.high + 1, VALUES.shape).astype(np.float64)
    wanted = np.stack([grid.decoded(codes[:, i], i // 32) for i in range(32 * BLOCKS)], axis=1)
    found = PACKAGE.dequantise(block_codes.packed(blocks, codes, kind), kind)
    assert np.array_equal(found, wanted.astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_values_outside_the_grid_get_its_ends_and_blocks_of_zeros_get_zeros(kind: str) -> None:
    blocks = PACKAGE.nearest(np.concatenate([VALUES, np.zeros_like(VALUES)]), kind)
    grid = block_codes.grid(blocks, kind)
    far = np.full(2 * ROWS, 1e6) * np.where(grid.scale[:, 0] < 0, -1, 1)
    assert grid.codes(far, 0).tolist() == [grid.high] * ROWS + [0] * ROWS
    assert grid.codes(-far, 0).tolist() == [grid.low] * ROWS + [0] * ROWS
    assert np.array_equal(grid.decoded(grid.codes(far, 0), 0)[ROWS:], np.zeros(ROWS))


def test_types_of_other_blocks_are_not_taken_apart() -> None:
    assert {kind for kind in PACKAGE.NAMES if block_codes.known(kind)} == set(KINDS)
