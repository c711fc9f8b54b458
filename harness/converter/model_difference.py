"""The difference between two models, layer by layer: what was added to each weight and bias of the first one.

The files may have different names, containers and types, and fused layers or their pieces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import model_family
from harness.converter.base_weights import BaseWeights, RowSlice
from harness.converter.layer_groups import LayerGroup
from harness.converter.model_files import model_tensors
from harness.converter.modules import Module, layout
from harness.converter.weight_change import Dense
from harness.formats.tensor import Tensor, TensorRows
from harness.layers.components import DIFFUSION
from harness.layers.layer import Name, Place
from sdcpp.errors import AdapterUnknown, FileInvalid

F64 = NDArray[np.float64]
#: Tables of vectors: they have weights like those of linear layers, but no program applies an adapter to them.
_TABLES = re.compile(
    r"(.*_)?(token_embedding|position_embedding|embed_tokens|relative_attention_bias|shared)"
)


class Model:
    """A model: its tensors by name, and its weights by layer."""

    def __init__(self, path: Path) -> None:
        """Read the headers of the files. Raises FileInvalid, and AdapterUnknown if it is an adapter."""
        self.path = path
        self.tensors = model_tensors(path)
        if layout(self.tensors.values()).modules:
            raise AdapterUnknown("this is an adapter, not a model", path, "name two models")
        self.shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        self.weights = BaseWeights(self.shapes)
        self.family = model_family.of_model(self.shapes)

    def rows(self, slices: tuple[RowSlice, ...]) -> F64:
        """Return the values of some rows of the weights, one below the other, as a matrix [rows, inner]."""
        found = []
        for rows in slices:
            if self.weights.scaled(rows.name):
                raise AdapterUnknown(
                    f"{self.path.name} stores a factor for {rows.name} in another tensor",
                    rows.name,
                    "convert the model to a type without such factors first",
                )
            found.append(_rows(self.tensors[rows.name], rows.start, rows.stop))
        return found[0] if len(found) == 1 else np.concatenate(found)


def _rows(tensor: Tensor, start: int, stop: int) -> F64:
    """Return some rows of a tensor. Only these are read, unless it is a vector or has strides."""
    if len(tensor.shape) < 2 or tensor.strides is not None:
        return tensor.values().astype(np.float64).reshape(tensor.shape[0], -1)[start:stop]
    each = math.prod(tensor.shape[1:-1])
    some = TensorRows(tensor=tensor, start=start * each, count=(stop - start) * each)
    return some.values().astype(np.float64).reshape(stop - start, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What was added to some rows of a weight or of a bias: ``change``, and the norm of the rows before."""

    change: Dense
    norm: float

    @property
    def relative(self) -> float:
        """The norm of the change relative to the rows before it; infinity if those are zero."""
        size = float(np.linalg.norm(self.change.value))
        return size / self.norm if self.norm else math.inf if size else 0.0


class ModelDifference:
    """The difference between a base model and a tuned one."""

    def __init__(self, base: Path, tuned: Path) -> None:
        """Read the headers of both. Raises FileInvalid, and AdapterUnknown if they are of different families."""
        self.base, self.tuned = Model(base), Model(tuned)
        one, other = self.base.family, self.tuned.family
        if one and other and not (model_family.fits(one, other) or model_family.fits(other, one)):
            raise AdapterUnknown(
                f"{base.name} is a model of {one}, and {tuned.name} of {other}",
                tuned,
                "name two models of the same family",
            )
        self._family = self.tuned.weights.family

    @property
    def sdxl(self) -> bool:
        """Whether the tuned model is SDXL."""
        return self.tuned.family == model_family.SDXL

    def layers(self) -> list[LayerGroup]:
        """Return the layers of the tuned model, as groups of one module that stands for the first tensor."""
        return [
            LayerGroup(
                component=component,
                layer=layer,
                family=self._family,
                modules=(self._module(component, names[0]),),
                places=(Place(layer=layer),),
            )
            for (component, layer), names in self.tuned.weights.layers().items()
        ]

    def _module(self, component: str, name: str) -> Module:
        """Return a module for a tensor, whose key has the name of the layer with its dots."""
        key = name.removesuffix(".weight")
        if component == DIFFUSION and not key.startswith(("model.diffusion_model.", "diffusion_model.")):
            key = f"diffusion_model.{key}"
        return Module(key=key, parts={"diff": self.tuned.tensors[name]}, kind="full")

    def weight(self, group: LayerGroup, name: Name) -> Difference:
        """Return what was added to the rows of a weight that ``name`` stands for.

        Raises AdapterUnknown if one of the models lacks them, or if their shapes differ.
        """
        found = self._difference(group, name, "weight")
        assert found is not None  # noqa: S101 - every layer has a weight
        return found

    def bias(self, group: LayerGroup, name: Name) -> Difference | None:
        """Return what was added to the rows of a bias, or None if both models lack a bias there."""
        return self._difference(group, name, "bias")

    def has(self, group: LayerGroup, name: Name) -> bool:
        """Return whether the tuned model has the rows that ``name`` stands for."""
        place = Place(layer=group.layer, units=name.units, take=name.take)
        return self.tuned.weights.at(group.component, place) is not None

    def _difference(self, group: LayerGroup, name: Name, parameter: str) -> Difference | None:
        place = Place(layer=group.layer, units=name.units, take=name.take)
        slices: list[tuple[RowSlice, ...]] = []
        for model in (self.base, self.tuned):
            weight = model.weights.at(group.component, place)
            if weight is None:
                raise AdapterUnknown(
                    f"{model.path.name} has no such layer", group.modules[0].key, "name two whole models"
                )
            lacks = parameter == "bias" and not all(piece.bias for piece in weight.pieces)
            slices.append(() if lacks else weight.slices(model.shapes, parameter))
        before, after = slices
        if not before and not after:
            return None
        if not before or not after:
            raise AdapterUnknown(
                "only one of the models has a bias here",
                group.modules[0].key,
                "name two models of one family",
            )
        return self._subtracted(before, after)

    def _subtracted(self, before: tuple[RowSlice, ...], after: tuple[RowSlice, ...]) -> Difference:
        """Return the difference of rows of the two models."""
        was, values = self.base.rows(before), self.tuned.rows(after)
        if was.shape != values.shape:
            raise AdapterUnknown(
                f"it has the shape {list(was.shape)} in {self.base.path.name} and {list(values.shape)} in "
                f"{self.tuned.path.name}",
                after[0].name,
                "name two models of one family",
            )
        norm = float(np.linalg.norm(was))
        values -= was
        if not math.isfinite(float(np.linalg.norm(values))):
            raise FileInvalid(
                f"{after[0].name} has NaN or infinity in one of the models",
                self.tuned.path,
                "fetch the model again",
            )
        axes = (self.base.shapes[before[0].name][1:], self.tuned.shapes[after[0].name][1:])
        shape = (len(values), *max(axes, key=len))
        return Difference(change=Dense(value=values.reshape(shape), shape=shape), norm=norm)

    def is_table(self, group: LayerGroup) -> bool:
        """Return whether a layer is a table of vectors, to which no program applies an adapter."""
        return _TABLES.fullmatch(group.layer) is not None

    def is_changed(self, name: str) -> bool:
        """Return whether a tensor of the tuned model has other values in the base model, or is not in it."""
        before, after = self.base.tensors.get(name), self.tuned.tensors[name]
        if before is None or before.shape != after.shape:
            return True
        if before.kind == after.kind and before.strides == after.strides:
            pieces = zip(before.slices(), after.slices(), strict=True)
            return any(not np.array_equal(a.raw(), b.raw()) for a, b in pieces)
        return not np.array_equal(before.values(), after.values())

    def others(self) -> Iterator[str]:
        """Yield the tensors of the tuned model that are neither the weight nor the bias of a layer."""
        layers = {name for names in self.tuned.weights.layers().values() for name in names}
        biases = {self.tuned.weights.bias_of(name) for name in layers}
        return (name for name in self.tuned.tensors if name not in layers and name not in biases)
