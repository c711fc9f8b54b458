"""Fit the modules of an adapter to a base model: which rows of which tensors does each of them change?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_change
from harness.converter.base_weights import BaseWeight, BaseWeights, RowSlice, inner
from harness.converter.modules import Layout, Module
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """The change that a module makes to the weight or the bias of a layer.

    ``parameter`` is "weight" or "bias". ``slices`` are the changed rows of tensors of the base model. ``replaces`` are
    the new values [rows, inner] if the module replaces the old ones.
    """

    module: Module
    parameter: str
    slices: tuple[RowSlice, ...]
    replaces: F64 | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The changes of an adapter.

    ``problems`` has a line for each module that does not fit. ``elsewhere`` are the keys of modules for components,
    such as text encoders, that the file of the base model does not have.
    """

    changes: Sequence[LayerChange]
    problems: Sequence[str]
    elsewhere: Sequence[str]


def fit(adapter: Layout, weights: BaseWeights, shapes: Shapes) -> Fitted:
    """Return the changes that the modules of an adapter make to a base model with tensors of these shapes.

    Incomplete modules are left out. It is a problem if no module is for the file of the base model.
    """
    changes: list[LayerChange] = []
    problems: list[str] = []
    elsewhere: list[str] = []
    modules = [module for module in adapter.modules.values() if module.kind != "incomplete"]
    for module in modules:
        if weights.component(module.key) not in weights.components:
            elsewhere.append(module.key)
            continue
        weight = weights.find(module.key)
        if weight is None:
            problems.append(f"the base model has no weight for {module.key}")
            continue
        try:
            changes += _of_module(module, weight, weights, shapes)
        except AdapterUnknown as error:
            where = "" if module.key in error.what else f"{module.key}: "
            problems.append(f"{where}{error.what}")
    problems += _overlaps(changes)
    if modules and len(elsewhere) == len(modules):
        problems.append(f"none of the {len(modules)} modules is for a part of the model that this file has")
    return Fitted(changes=changes, problems=problems, elsewhere=elsewhere)


def _of_module(module: Module, weight: BaseWeight, weights: BaseWeights, shapes: Shapes) -> list[LayerChange]:
    """Return the changes that a module makes. Raises AdapterUnknown if it does not fit the weight."""
    if any(weights.scaled(piece.name) for piece in weight.pieces):
        raise AdapterUnknown(
            f"the base model stores a factor for {weight.name} in another tensor",
            module.key,
            "convert the base model to a type without such factors first",
        )
    added = layer_change.changes(module)
    replaced = layer_change.replacements(module)
    if added.keys() & replaced.keys():
        raise AdapterUnknown("a module both changes and replaces a layer", module.key, "check the file")
    found = []
    for parameter in (*added, *replaced):
        slices = weight.slices(shapes, parameter)
        values = replaced.get(parameter)
        shape = added[parameter].shape if values is None else values.shape
        height = slices[-1].first + slices[-1].stop - slices[-1].start
        name = slices[0].name
        width = inner(shapes[name])
        if shape[:1] != (height,) or inner(shape) != width:
            wanted = [height, *shapes[name][1:]]
            raise AdapterUnknown(
                f"{module.key} changes {list(shape)}, the base model has {wanted} at {name}",
                module.key,
                "check that the adapter is for this model",
            )
        if parameter == "weight" and module.dora:
            layer_change.require_magnitudes(module, height, shapes[name][1] if len(shapes[name]) > 1 else 1)
        new = None if values is None else values.reshape(height, width)
        found.append(LayerChange(module=module, parameter=parameter, slices=slices, replaces=new))
    return found


def _overlaps(changes: Sequence[LayerChange]) -> list[str]:
    """Return a line for each two modules that change the same rows. Programs disagree on which of them counts."""
    rows = sorted((s.name, s.start, s.stop, change.module.key) for change in changes for s in change.slices)
    return [
        f"{key} and {other_key} change the same rows of {name}"
        for (name, _, stop, key), (other, start, _, other_key) in pairwise(rows)
        if name == other and start < stop
    ]
