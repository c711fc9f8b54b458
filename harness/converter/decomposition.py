"""What a DoRA adds to a layer, which depends on the weight of the base model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_change, weight_change
from harness.converter.base_weights import BaseWeights
from harness.converter.modules import Module
from harness.converter.weight_change import Dense, WeightChange
from harness.formats.tensor import Tensor
from harness.layers.layer import Family
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]


class BaseModel:
    """A base model, or none. ``tensors`` are its tensors by name; they are read when a DoRA needs them."""

    def __init__(self, tensors: Mapping[str, Tensor] | None) -> None:
        self._tensors = tensors or {}
        self._shapes = {name: tensor.shape for name, tensor in self._tensors.items()}
        self._weights = BaseWeights(self._shapes) if tensors else None

    @property
    def family(self) -> Family | None:
        """The family of the diffusion model, or None if it is not known or there is no base model."""
        return self._weights.family if self._weights else None

    def change(self, module: Module, parameter: str) -> WeightChange:
        """Return what a module adds to the "weight" or to the "bias". That of a DoRA's weight has all values.

        Raises AdapterUnknown if a DoRA has no such layer in the base model, or if its tensors do not fit together.
        """
        change = layer_change.changes(module)[parameter]
        if not module.dora or parameter == "bias":
            return change
        weight, inputs = self._weight(module)
        if weight.shape != (change.shape[0], weight_change.rows(change, 0, 1).shape[1]):
            raise AdapterUnknown(
                f"the base model has {list(weight.shape)} where the adapter changes {list(change.shape)}",
                module.key,
                "check that the adapter is for this model",
            )
        full = weight_change.rows(change, 0, change.shape[0])
        decomposed = layer_change.decomposed(module, weight, full, inputs)
        return Dense(value=decomposed.reshape(change.shape), shape=change.shape)

    def _weight(self, module: Module) -> tuple[F64, int]:
        """Return the weight that a module changes, as a matrix [out, inner], and its number of inputs."""
        if self._weights is None:
            raise AdapterUnknown(
                "the change of a DoRA depends on the base model: add --base-model MODEL",
                module.key,
                "name the model that it is for",
            )
        found = self._weights.find(module.key)
        if found is None:
            raise AdapterUnknown(
                "the base model has no such layer", module.key, "check that the adapter is for this model"
            )
        parts = [
            self._tensors[rows.name]
            .values()
            .astype(np.float64)
            .reshape(self._shapes[rows.name][0], -1)[rows.start : rows.stop]
            for rows in found.slices(self._shapes)
        ]
        return np.concatenate(parts), self._shapes[found.name][1]
