"""What a module does to a layer as values that can be compared: changes, magnitudes and replaced values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_change, weight_change
from harness.converter.modules import Module
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """The values of a module by what they do to the layer.

    ``changes`` has what is added to the "weight" and the "bias", and the values that replace them under "new weight"
    and "new bias". ``magnitudes`` are those of a DoRA, and ``per_output`` tells what they belong to.
    """

    changes: Mapping[str, WeightChange]
    magnitudes: WeightChange | None = None
    per_output: bool = True


def state(module: Module) -> LayerState:
    """Return the values of a module. Raises AdapterUnknown if its tensors do not fit together."""
    changes = dict(layer_change.changes(module))
    for name, replaced in layer_change.replacements(module).items():
        # A scalar has one row.
        value = np.atleast_1d(replaced)
        changes[f"new {name}"] = Dense(value=value, shape=value.shape)
    if not module.dora:
        return LayerState(changes=changes)
    values = layer_change.magnitude(module)
    return LayerState(
        changes=changes, magnitudes=Dense(value=values, shape=values.shape), per_output=module.dora_per_output
    )


def norm(each: LayerState) -> float:
    """Return the Frobenius norm of everything that a module adds or replaces.

    The magnitudes of a DoRA do not count: they are norms of the weights of the base model, not changes.
    """
    return math.hypot(*(weight_change.norm(change) for change in each.changes.values()))


def distance(a: LayerState, b: LayerState) -> float:
    """Return the Frobenius norm of the difference of two modules.

    It is the difference that they make in the weights of the base model. That of the magnitudes of a DoRA counts in
    full, because a magnitude is the norm of a row or a column of the changed weight. Raises AdapterUnknown if shapes
    differ.
    """
    parts = [_apart(a.changes.get(name), b.changes.get(name)) for name in {**a.changes, **b.changes}]
    if a.per_output == b.per_output:
        parts.append(_apart(a.magnitudes, b.magnitudes))
    else:
        parts += [_apart(a.magnitudes, None), _apart(None, b.magnitudes)]
    return math.hypot(*parts)


def _apart(a: WeightChange | None, b: WeightChange | None) -> float:
    """Return the norm of the difference of two changes; None means no change."""
    if a is None or b is None:
        return sum(weight_change.norm(change) for change in (a, b) if change is not None)
    return weight_change.distance(a, b)


def rows(each: LayerState, start: int, stop: int, total: int) -> LayerState:
    """Return the part of a module that concerns the rows ``start`` to ``stop`` (exclusive) of its ``total`` rows.

    The magnitudes must be those of outputs.
    """
    changes = {name: _rows(change, start, stop, total) for name, change in each.changes.items()}
    magnitudes = None if each.magnitudes is None else _rows(each.magnitudes, start, stop, total)
    return LayerState(changes=changes, magnitudes=magnitudes)


def _rows(change: WeightChange, start: int, stop: int, total: int) -> WeightChange:
    """Return some rows of a change. Nothing is multiplied if the change is a product of two factors."""
    assert change.shape[0] == total  # noqa: S101 - checked by the caller
    shape = (stop - start, *change.shape[1:])
    if isinstance(change, LowRank):
        return LowRank(left=change.left[start:stop], right=change.right, shape=shape)
    if isinstance(change, Product):
        a, b = (_rows(factor, start, stop, total) for factor in (change.a, change.b))
        assert isinstance(a, LowRank)  # noqa: S101 - for mypy
        assert isinstance(b, LowRank)  # noqa: S101 - for mypy
        return Product(a=a, b=b, shape=shape)
    if isinstance(change, Kronecker):
        return Dense(value=weight_change.rows(change, start, stop), shape=shape)
    return Dense(value=change.value[start:stop], shape=shape)
