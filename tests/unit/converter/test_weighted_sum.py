from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.converter import weight_change
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange
from harness.converter.weighted_sum import factors, largest_rank, weighted_sum
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.rewritten_tensors import F64, draw


def low(rank: int, shape: tuple[int, ...] = (24, 30)) -> LowRank:
    inner = int(np.prod(shape[1:]))
    return LowRank(
        left=draw(shape[0], rank).astype(np.float64), right=draw(rank, inner).astype(np.float64), shape=shape
    )


CHANGES: dict[str, WeightChange] = {
    "lora": low(3),
    "loha": Product(a=low(2), b=low(2), shape=(24, 30)),
    "lokr": Kronecker(
        first=np.ones((4, 3)) + np.eye(4, 3), second=low(1, (6, 10)).left @ draw(1, 10), shape=(24, 30)
    ),
    "large lokr": Kronecker(first=draw(4, 3).astype(float), second=draw(6, 10).astype(float), shape=(24, 30)),
    "difference": Dense(value=draw(24, 30).astype(np.float64), shape=(24, 30)),
}


def full(change: WeightChange) -> F64:
    return weight_change.rows(change, 0, change.shape[0])


@pytest.mark.parametrize("names", list(itertools.combinations_with_replacement(CHANGES, 2)))
def test_the_sum_of_two(names: tuple[str, str]) -> None:
    a, b = (CHANGES[name] for name in names)
    found = weighted_sum([(0.5, a), (-2.0, b)], "x")
    np.testing.assert_allclose(full(found), 0.5 * full(a) - 2.0 * full(b), atol=1e-12)
    small = not {"difference", "large lokr"} & set(names)
    assert isinstance(found, LowRank) == small


@pytest.mark.parametrize("name", CHANGES)
def test_a_single_one_keeps_its_form(name: str) -> None:
    found = weighted_sum([(3.0, CHANGES[name])], "x")
    assert type(found) is type(CHANGES[name])
    np.testing.assert_allclose(full(found), 3.0 * full(CHANGES[name]))


@pytest.mark.parametrize("name", CHANGES)
def test_factors_are_exact(name: str) -> None:
    change = CHANGES[name]
    found = factors(change)
    np.testing.assert_allclose(found.left @ found.right, full(change), atol=1e-12)
    assert found.left.shape[1] <= largest_rank(change)
    assert found.shape == change.shape


def test_a_kronecker_product_of_small_rank_stays_small() -> None:
    assert factors(CHANGES["lokr"]).left.shape[1] == 3


def test_ranks_beyond_the_matrix_are_shortened() -> None:
    a, b = low(20), low(20)
    found = weighted_sum([(1.0, a), (1.0, b)], "x")
    assert isinstance(found, LowRank)
    assert found.left.shape[1] == 24
    np.testing.assert_allclose(full(found), full(a) + full(b), atol=1e-12)


def test_kernels_and_matrices_of_one_layer() -> None:
    a, b = low(2, (8, 2, 3, 3)), low(2, (8, 18))
    assert weighted_sum([(1.0, b), (1.0, a)], "x").shape == (8, 2, 3, 3)
    with pytest.raises(AdapterUnknown, match=r"\[24, 30\] and \[8, 18\]"):
        weighted_sum([(1.0, low(1)), (1.0, b)], "x")
