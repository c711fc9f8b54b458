"""The singular values of a ΔW, and its best approximation by factors of a given rank, in float64.

The full product is formed only for stored differences, and for a LoHa whose exact factors would be larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.converter import weight_change
from harness.converter.weight_change import Kronecker, LowRank, Product, WeightChange

F64 = NDArray[np.float64]
#: Matrices whose smaller side is at most this are decomposed directly, larger ones through their Gram matrix. Those
#: whose smaller side is longer than LARGE are not decomposed in full if a small rank is enough.
SMALL, LARGE = 256, 1024
#: Eigenvalues of a Gram matrix below this share of the largest one are noise of float64.
NOISE = 1e-14
#: The additional directions and the most rounds of the search for the leading singular vectors, its seed, and the share
#: of the energy by which the last round may still improve the result.
SPARE, ROUNDS, SEED, GAIN = 16, 24, 20_241, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """The leading singular values of ΔW [out, inner], largest first: ΔW ≈ left · diag(sigma) · right.

    ``energy`` is ‖ΔW‖², and ``shape`` the shape of the weight.
    """

    left: F64
    sigma: F64
    right: F64
    energy: float
    shape: tuple[int, ...]

    def lost(self, rank: int) -> float:
        """Return the squared error of the best approximation of a rank."""
        unknown = max(0.0, self.energy - float(np.sum(self.sigma**2)))
        unknown = 0.0 if unknown < 1e-12 * self.energy else unknown
        return unknown + float(np.sum(self.sigma[rank:] ** 2))

    def error(self, rank: int) -> float:
        """Return the relative error, in the Frobenius norm, of the best approximation of a rank."""
        return math.sqrt(self.lost(rank) / self.energy) if self.energy else 0.0

    def rank_for(self, error: float) -> int:
        """Return the smallest rank, at least 1, with at most this relative error, or the largest known one."""
        ranks = range(1, len(self.sigma) + 1)
        return next((rank for rank in ranks if self.error(rank) <= error), len(self.sigma))

    def factors(self, rank: int) -> LowRank:
        """Return the best approximation of a rank. Both factors get the square roots of the singular values."""
        root = np.sqrt(self.sigma[:rank])
        return LowRank(
            left=self.left[:, :rank] * root, right=root[:, None] * self.right[:rank], shape=self.shape
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChoice:
    """How the rank of a module is chosen: a number, or the largest relative error in the Frobenius norm."""

    rank: int | None = None
    error: float | None = None

    def of(self, found: Spectrum) -> int:
        """Return the rank for a module."""
        if self.rank is not None:
            return min(self.rank, len(found.sigma))
        return found.rank_for(self.error or 0.0)


def spectrum(change: WeightChange, rank: int | None = None) -> Spectrum:
    """Return the singular values of a ΔW: at least the ``rank`` largest ones if that is given, otherwise all."""
    if isinstance(change, LowRank):
        return _of_factors(change)
    if isinstance(change, Kronecker):
        return _of_kronecker(change, rank)
    smaller = min(change.shape[0], math.prod(change.shape[1:]))
    if isinstance(change, Product) and change.a.left.shape[1] * change.b.left.shape[1] < smaller:
        return _of_factors(expanded(change))
    return _of_matrix(weight_change.rows(change, 0, change.shape[0]), change.shape, rank)


def expanded(change: Product) -> LowRank:
    """Return the exact factors of a product, element by element, of two low-rank matrices: all products of columns."""
    left = np.einsum("oi,oj->oij", change.a.left, change.b.left).reshape(change.shape[0], -1)
    right = np.einsum("in,jn->ijn", change.a.right, change.b.right)
    return LowRank(left=left, right=right.reshape(left.shape[1], -1), shape=change.shape)


def _of_factors(change: LowRank) -> Spectrum:
    """Return the spectrum of left @ right through the QR decompositions of both."""
    outer, first = np.linalg.qr(change.left)
    inner, second = np.linalg.qr(change.right.T)
    a, sigma, b = np.linalg.svd(first @ second.T)
    count = len(sigma)
    return Spectrum(
        left=outer @ a[:, :count],
        sigma=sigma,
        right=b[:count] @ inner.T,
        energy=float(np.sum(sigma**2)),
        shape=change.shape,
    )


def _of_kronecker(change: Kronecker, rank: int | None) -> Spectrum:
    """Return the spectrum of a Kronecker product: the products of the singular values and vectors of both factors."""
    second = change.second.reshape(change.second.shape[0], -1)
    u, s, v = np.linalg.svd(change.first, full_matrices=False)
    x, t, y = np.linalg.svd(second, full_matrices=False)
    sigma = np.outer(s, t).reshape(-1)
    order = np.argsort(-sigma, kind="stable")[: rank or len(sigma)]
    i, j = order // len(t), order % len(t)
    left = np.einsum("ak,bk->abk", u[:, i], x[:, j]).reshape(-1, len(order))
    right = np.einsum("ka,kb->kab", v[i], y[j]).reshape(len(order), -1)
    energy = float(np.sum(s**2) * np.sum(t**2))
    return Spectrum(left=left, sigma=sigma[order], right=right, energy=energy, shape=change.shape)


def _of_matrix(matrix: F64, shape: tuple[int, ...], rank: int | None) -> Spectrum:
    smaller = min(matrix.shape)
    energy = float(np.vdot(matrix, matrix))
    if smaller <= SMALL:
        left, sigma, right = np.linalg.svd(matrix, full_matrices=False)
    elif rank is None or smaller <= LARGE or 4 * (rank + SPARE) >= smaller:
        left, sigma, right = _by_gram_matrix(matrix)
    else:
        left, sigma, right = _leading(matrix, rank + SPARE, energy)
    return Spectrum(left=left, sigma=sigma, right=right, energy=energy, shape=shape)


def _by_gram_matrix(matrix: F64) -> tuple[F64, F64, F64]:
    """Return the singular triples of a matrix from the eigenvectors of its smaller Gram matrix.

    It takes about a tenth of the time of a direct decomposition. Singular values below 1e-7 of the largest one are left
    out, because the squares of such values are noise.
    """
    if matrix.shape[0] > matrix.shape[1]:
        right, values, left = _by_gram_matrix(matrix.T)
        return left.T, values, right.T
    squares, vectors = np.linalg.eigh(matrix @ matrix.T)
    count = max(1, int(np.sum(squares > NOISE * squares[-1])))
    left = vectors[:, ::-1][:, :count]
    sigma: F64 = np.sqrt(np.maximum(squares[::-1][:count], 0))
    right = left.T @ matrix
    right /= np.where(sigma > 0, sigma, 1)[:, None]
    return left, sigma, right


def _leading(matrix: F64, count: int, energy: float) -> tuple[F64, F64, F64]:
    """Return the ``count`` leading singular triples by subspace iteration (https://arxiv.org/abs/0909.4061).

    It ends when a round adds less than GAIN of the energy to what the directions hold.
    """
    start = np.random.default_rng(SEED).standard_normal((matrix.shape[1], count))
    basis, _ = np.linalg.qr(matrix @ start)
    held = 0.0
    for _ in range(ROUNDS):
        other, _ = np.linalg.qr(matrix.T @ basis)
        basis, triangle = np.linalg.qr(matrix @ other)
        before, held = held, float(np.sum(triangle**2))
        if held - before <= GAIN * energy:
            break
    a, sigma, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ a, sigma, right
