"""Base models whose weights are stored in another type: what most users have, who load a quantised GGUF."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats import gguf_types
from harness.models.base_model import Base, TensorId
from sdcpp import cache

#: In the order in which the report shows them.
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q4_K", "Q4_0")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredBase(Base):
    """``plain`` with the weights of the linear layers that adapters change stored as GGUF of type ``kind``.

    Only these lie in a file of their own, which the library takes them from instead; a matrix whose rows are no
    whole number of blocks is F16 there. ``quantise`` makes the types that the gguf package cannot make.
    """

    plain: Base
    kind: str
    quantise: gguf_types.Quantise | None = field(default=None, repr=False)

    @cached_property
    def digest(self) -> str:
        """The identity of the files."""
        return f"{self.plain.digest[:12]}-{self.kind}"

    def make(self) -> dict[str, Path]:
        """Write the files if the cache does not have them and return their paths by role."""
        return {**self.plain.make(), "diffusion_model": self._own()}

    def _own(self) -> Path:
        def write(partial: Path) -> None:
            tensors = {name: self.plain.values((role, name)) for role, name in self.targets.values()}
            gguf_types.write(partial / "diffusion_model.gguf", tensors, self.kind, quantise=self.quantise)

        folder = cache.root() / cache.MODELS / f"{self.plain.name}-{self.digest}"
        return cache.get_or_create(folder, write) / "diffusion_model.gguf"

    def values(self, place: TensorId) -> NDArray[np.float32]:
        """Return the values of a tensor as they are stored, dequantised by the gguf package."""
        if place not in self.targets.values():
            return self.plain.values(place)
        return _read(self._own())[place[1]]


#: Files are read one after another, each for all of its tensors.
_read = lru_cache(maxsize=1)(gguf_types.read)


def stored(base: Base, kind: str, quantise: gguf_types.Quantise | None) -> StoredBase:
    """Return a base model with the weights of its linear targets stored as a type."""
    recipe = {entry.name: getattr(base, entry.name) for entry in fields(base)}
    return StoredBase(**{**recipe, "name": f"{base.name}-{kind}"}, plain=base, kind=kind, quantise=quantise)
