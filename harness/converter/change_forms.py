"""Bring a change into the form in which it can be stored: kernels with their axes, or all values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harness.converter import weight_change
from harness.converter.layer_groups import LayerGroup, weight_shape
from harness.converter.weight_change import Dense, Kronecker, LowRank, WeightChange
from harness.layers.components import DIFFUSION
from harness.layers.layer import Name
from harness.layers.unet import UNET

#: The convolutions of a UNet whose kernels have 3 x 3 elements.
_KERNELS = re.compile(r".*_(in_layers_2|out_layers_3|op|conv)|input_blocks_0_0|out_2")
_SIDE = 3
#: Those whose kernels have one element, in some models.
_CONV1X1 = re.compile(r".*_(skip_connection|proj_in|proj_out)")


class Impossible(Exception):
    """A layer that cannot be written; the message says why."""


def targets_of(group: LayerGroup, shape: tuple[int, ...]) -> str:
    """Return what a group changes, by the names of the groups of targets in cases.

    Files may store the kernels of a UNet as matrices, and matrices as kernels of 1 x 1. Then the name of the layer
    tells: only a UNet has kernels of 1 x 1.
    """
    if group.component != DIFFUSION:
        return "text"
    if len(shape) > 2 and (max(shape[2:]) > 1 or group.family is None):
        return "conv3x3" if max(shape[2:]) > 1 else "conv1x1"
    if group.family is UNET and _KERNELS.fullmatch(group.layer):
        return "conv3x3"
    return "conv1x1" if group.family is UNET and _CONV1X1.fullmatch(group.layer) else "linear"


def as_matrix(change: Callable[[], WeightChange]) -> WeightChange:
    """Return a change of a linear layer without the axes of kernels of 1 x 1."""
    found = change()
    shape = found.shape[:2]
    if isinstance(found, Dense):
        return Dense(value=found.value.reshape(shape), shape=shape)
    if isinstance(found, Kronecker):
        return replace(found, second=found.second.reshape(found.second.shape[:2]), shape=shape)
    return replace(found, shape=shape)


def as_kernel(change: Callable[[], WeightChange]) -> LowRank:
    """Return factors of which the second one has the shape of kernels. Raises Impossible if it cannot have it."""
    found = change()
    assert isinstance(found, LowRank)  # noqa: S101 - checked by the caller
    if len(found.shape) > 2:
        return found
    inputs, rest = divmod(found.shape[1], _SIDE**2)
    if rest:
        raise Impossible(f"rows of {found.shape[1]} are no kernels of {_SIDE} x {_SIDE}")
    return replace(found, shape=(found.shape[0], inputs, _SIDE, _SIDE))


def as_dense(change: Callable[[], WeightChange]) -> Dense:
    """Return a change with all its values."""
    found = change()
    if isinstance(found, Dense):
        return found
    return Dense(value=weight_change.rows(found, 0, found.shape[0]).reshape(found.shape), shape=found.shape)


def zeros_of(group: LayerGroup, target: Name, rank: int) -> LowRank:
    """Return factors of zeros for a piece of a fused layer of which other pieces have factors."""
    pieces = group.changing("weight")
    assert pieces is not None  # noqa: S101 - checked by the caller
    shape = weight_shape(pieces.modules[0])
    units, take = pieces.places[0].units, pieces.places[0].take
    rows = shape[0] // sum(units[unit] for unit in take) * sum(units[unit] for unit in target.take)
    return LowRank(
        left=np.zeros((rows, rank)), right=np.zeros((rank, math.prod(shape[1:]))), shape=(rows, *shape[1:])
    )
