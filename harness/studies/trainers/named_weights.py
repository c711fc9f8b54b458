"""The weights of a base model under diffusers' names, and back: a fused matrix is several layers in diffusers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.adapters import diffusers_names
from harness.adapters.diffusers_names import NamedRows
from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.models.base_model import Base, TensorId
from sdcpp.errors import FileInvalid

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPart:
    """A layer of diffusers' model: the tensor of the base model that has its weight, and the rows."""

    tensor: TensorId
    rows: NamedRows

    @property
    def name(self) -> str:
        """The name of the weight in diffusers' model."""
        return f"{self.rows.stem}.weight"


def named_parts(base: Base) -> Iterator[NamedPart]:
    """Yield the layers of diffusers' model for the targets of ``base``; raises KeyError if one has no name.

    The targets of a UNet have diffusers' names themselves.
    """
    for layer, (role, name) in base.targets.items():
        height = base.files[role][name].shape[0]
        if base.architecture in diffusers_names.FAMILIES:
            parts = diffusers_names.parts(base.architecture, layer, height)
        else:
            parts = (NamedRows(stem=layer, start=0, stop=height),)
        for rows in parts:
            yield NamedPart(tensor=(role, name), rows=rows)


def write(base: Base, path: Path) -> None:
    """Write the weights of ``base`` by diffusers' names, as F32 in a safetensors file."""
    arrays = {}
    for part in named_parts(base):
        rows = base.values(part.tensor)[part.rows.start : part.rows.stop]
        arrays[part.name] = np.ascontiguousarray(_turned(rows, part.rows))
    write_arrays(path, "safetensors", arrays)


def join(base: Base, weights: Mapping[str, F64]) -> dict[TensorId, F64]:
    """Return the tensors of ``base`` whose rows are replaced by ``weights``, which have diffusers' names: float64.

    Raises KeyError if a weight is missing.
    """
    found: dict[TensorId, F64] = {}
    for part in named_parts(base):
        if part.tensor not in found:
            found[part.tensor] = base.values(part.tensor).astype(np.float64)
        found[part.tensor][part.rows.start : part.rows.stop] = _turned(weights[part.name], part.rows)
    return found


def read_merged(base: Base, path: Path) -> dict[TensorId, F64]:
    """Return the merged tensors of ``base`` from a file with diffusers' names; raises FileInvalid if one is missing."""
    tensors = read_tensors(path).tensors
    missing = [part.name for part in named_parts(base) if part.name not in tensors]
    if missing:
        raise FileInvalid(f"the merged weights lack {missing[0]}", path, "write the adapters again")
    return join(base, {name: tensor.values().astype(np.float64) for name, tensor in tensors.items()})


def _turned(rows: NDArray[np.floating], named: NamedRows) -> NDArray[np.floating]:
    """Return rows in the other model's order: the halves change places where diffusers stores them swapped."""
    return np.roll(rows, rows.shape[0] // 2, axis=0) if named.swapped else rows
