"""The weighted sum of the changes of one layer, in the form that needs the least space without an error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.converter import low_rank, weight_change
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange, multiplied
from sdcpp.errors import AdapterUnknown

#: Singular values of a Kronecker product below this share of the largest one are noise of float64.
NOISE = 1e-13


def weighted_sum(changes: Sequence[tuple[float, WeightChange]], layer: str) -> WeightChange:
    """Return Σ number · ΔW for changes of the layer ``layer``.

    A single change keeps its form. Several become factors whose rank is the sum of the ranks or, where all values need
    less space, all values. LoHa and LoKr count with the rank that they have as factors. Raises AdapterUnknown if the
    shapes differ.
    """
    shape = _common_shape([change for _, change in changes], layer)
    if len(changes) == 1:
        number, change = changes[0]
        return multiplied(change, number)
    rows, inner = shape[0], math.prod(shape[1:])
    rank = sum(largest_rank(change) for _, change in changes)
    if rank * (rows + inner) < rows * inner or all(isinstance(change, LowRank) for _, change in changes):
        low = [(number, factors(change)) for number, change in changes]
        total = LowRank(
            left=np.hstack([number * each.left for number, each in low]),
            right=np.vstack([each.right for _, each in low]),
            shape=shape,
        )
        return total if rank <= min(rows, inner) else low_rank.spectrum(total).factors(min(rows, inner))
    values = np.zeros((rows, inner))
    for number, change in changes:
        values += number * weight_change.rows(change, 0, rows)
    return Dense(value=values.reshape(shape), shape=shape)


def _common_shape(changes: Sequence[WeightChange], layer: str) -> tuple[int, ...]:
    """Return the shape of all changes: with the axes of a kernel if one has them. Raises AdapterUnknown."""
    shapes = [change.shape for change in changes]
    if len({(shape[0], math.prod(shape[1:])) for shape in shapes}) > 1:
        different = " and ".join(dict.fromkeys(str(list(shape)) for shape in shapes))
        raise AdapterUnknown(
            f"the files change a weight of {different} here, so they are for different models",
            layer,
            "combine files for the same model",
        )
    return max(shapes, key=len)


def largest_rank(change: WeightChange) -> int:
    """Return a rank with which a change has exact factors."""
    if isinstance(change, LowRank):
        return int(change.left.shape[1])
    if isinstance(change, Product):
        return int(change.a.left.shape[1] * change.b.left.shape[1])
    if isinstance(change, Kronecker):
        second = change.second.reshape(change.second.shape[0], -1)
        return int(np.linalg.matrix_rank(change.first) * np.linalg.matrix_rank(second))
    return min(change.shape[0], math.prod(change.shape[1:]))


def factors(change: WeightChange) -> LowRank:
    """Return factors of a change: exact ones of products, and within the precision of float64 of all others."""
    if isinstance(change, LowRank):
        return change
    if isinstance(change, Product):
        return low_rank.expanded(change)
    found = low_rank.spectrum(change)
    return found.factors(max(1, int(np.sum(found.sigma > NOISE * np.max(found.sigma, initial=0)))))
