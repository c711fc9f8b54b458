from __future__ import annotations

import numpy as np
import pytest

from harness.converter import weight_change
from harness.converter.low_rank import RankChoice, expanded, spectrum
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange

GENERATOR = np.random.default_rng(3)


def low(out: int, rank: int, inner: int) -> LowRank:
    left, right = GENERATOR.standard_normal((out, rank)), GENERATOR.standard_normal((rank, inner))
    return LowRank(left=left, right=right, shape=(out, inner))


CHANGES: dict[str, WeightChange] = {
    "lora": low(24, 6, 30),
    "rank above the width": low(4, 6, 30),
    "kernel": LowRank(left=low(8, 3, 18).left, right=low(8, 3, 18).right, shape=(8, 2, 3, 3)),
    "loha": Product(a=low(24, 2, 30), b=low(24, 3, 30), shape=(24, 30)),
    "loha of a large rank": Product(a=low(24, 8, 30), b=low(24, 8, 30), shape=(24, 30)),
    "lokr": Kronecker(
        first=GENERATOR.standard_normal((4, 3)), second=GENERATOR.standard_normal((6, 5)), shape=(24, 15)
    ),
    "lokr of a kernel": Kronecker(
        first=GENERATOR.standard_normal((2, 3)),
        second=GENERATOR.standard_normal((4, 2, 3, 3)),
        shape=(8, 6, 3, 3),
    ),
    "difference": Dense(value=GENERATOR.standard_normal((12, 10)), shape=(12, 10)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_spectrum_is_that_of_the_product(name: str) -> None:
    change = CHANGES[name]
    full = weight_change.rows(change, 0, change.shape[0])
    expected = np.linalg.svd(full, compute_uv=False)
    found = spectrum(change)
    count = min(len(expected), len(found.sigma))
    np.testing.assert_allclose(found.sigma[:count], expected[:count], atol=1e-9 * expected[0])
    assert found.energy == pytest.approx(float(np.sum(full**2)))
    for rank in (1, 2, 3):
        factors = found.factors(rank)
        error = np.linalg.norm(factors.left @ factors.right - full) / np.linalg.norm(full)
        assert found.error(rank) == pytest.approx(error)
        assert error == pytest.approx(np.sqrt(np.sum(expected[rank:] ** 2)) / np.linalg.norm(full))
        assert factors.shape == change.shape


def test_the_rank_for_a_loss_is_the_smallest() -> None:
    value = np.diag([4.0, 2.0, 1.0, 0.5])
    found = spectrum(Dense(value=value, shape=(4, 4)))
    assert [found.rank_for(x) for x in (0.9, 0.45, 0.25, 0.12, 0.1, 0)] == [1, 2, 2, 3, 4, 4]
    assert RankChoice(rank=9).of(found) == 4
    assert RankChoice(error=0.3).of(found) == 2


def test_loha_has_exact_factors() -> None:
    change = Product(a=low(5, 2, 7), b=low(5, 3, 7), shape=(5, 7))
    found = expanded(change)
    assert found.left.shape == (5, 6)
    np.testing.assert_allclose(found.left @ found.right, weight_change.rows(change, 0, 5))


def test_leading_values_of_a_large_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.converter.low_rank.SMALL", 32)
    monkeypatch.setattr("harness.converter.low_rank.LARGE", 64)
    exact = low(200, 8, 160)
    value = exact.left @ exact.right + 0.01 * GENERATOR.standard_normal((200, 160))
    expected = np.linalg.svd(value, compute_uv=False)
    found = spectrum(Dense(value=value, shape=(200, 160)), 8)
    assert len(found.sigma) == 24
    np.testing.assert_allclose(found.sigma[:8], expected[:8], rtol=1e-6)
    assert found.error(8) == pytest.approx(np.sqrt(np.sum(expected[8:] ** 2) / np.sum(expected**2)), rel=1e-3)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_the_gram_matrix_gives_the_same_values(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    value = GENERATOR.standard_normal(shape) * np.exp(-np.arange(shape[1]) / 9)
    direct = spectrum(Dense(value=value, shape=shape))
    monkeypatch.setattr("harness.converter.low_rank.SMALL", 8)
    found = spectrum(Dense(value=value, shape=shape))
    np.testing.assert_allclose(found.sigma, direct.sigma[: len(found.sigma)], rtol=1e-3)
    for rank in (1, 7, 20):
        factors, wanted = found.factors(rank), direct.factors(rank)
        np.testing.assert_allclose(factors.left @ factors.right, wanted.left @ wanted.right, atol=1e-12)
        assert found.lost(rank) == pytest.approx(direct.lost(rank))


def test_a_matrix_of_zeros_and_one_of_small_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.converter.low_rank.SMALL", 8)
    zeros = spectrum(Dense(value=np.zeros((20, 30)), shape=(20, 30)))
    assert (zeros.energy, zeros.error(1), np.abs(zeros.factors(1).left).max()) == (0, 0, 0)
    exact = low(20, 3, 30)
    found = spectrum(Dense(value=exact.left @ exact.right, shape=(20, 30)))
    assert len(found.sigma) == 3
    np.testing.assert_allclose(found.factors(3).left @ found.factors(3).right, exact.left @ exact.right)
