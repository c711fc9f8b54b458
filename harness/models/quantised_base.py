"""Base models whose weights are stored in another tensor type.

Most users load a base model as a quantised GGUF file. These models test LoRAs on such a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats import gguf_types
from harness.models.base_model import Base, TensorId
from sdcpp import cache

#: The tensor types, in the order of the report.
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q4_K", "Q4_0")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredBase(Base):
    """The base model ``plain``, with the weights of its linear targets stored in tensor type ``kind``.

    Only these weights are in a GGUF file, which the library loads in addition to the files of ``plain``. The library
    takes a tensor from the last file that has it. A matrix is stored as F16 if its row length is not a multiple of the
    block size of ``kind``. ``quantise`` converts to the types that the gguf package cannot make.
    """

    plain: Base
    kind: str
    quantise: gguf_types.Quantise | None = field(default=None, repr=False)

    @cached_property
    def digest(self) -> str:
        """The digest of ``plain``, shortened, and the type. Base models with the same digest have the same files."""
        return f"{self.plain.digest[:12]}-{self.kind}"

    def make(self) -> dict[str, Path]:
        """Write the files if they are not in the cache, and return their paths by role."""
        return {**self.plain.make(), "diffusion_model": self._make_gguf()}

    def _make_gguf(self) -> Path:
        """Write the GGUF file if it is not in the cache, and return its path."""

        def write(partial: Path) -> None:
            tensors = {name: self.plain.values((role, name)) for role, name in self.targets.values()}
            gguf_types.write(partial / "diffusion_model.gguf", tensors, self.kind, quantise=self.quantise)

        folder = cache.root() / cache.MODELS / f"{self.plain.name}-{self.digest}"
        return cache.get_or_create(folder, write) / "diffusion_model.gguf"

    def values(self, tensor: TensorId) -> NDArray[np.float32]:
        """Return the stored values of a tensor: float32, in PyTorch's order, dequantised by the gguf package."""
        if tensor not in self.targets.values():
            return self.plain.values(tensor)
        _, name = tensor
        return _read(self._make_gguf())[name]


#: The cache has one file, because callers read all tensors of a file before they read the next file.
_read = lru_cache(maxsize=1)(gguf_types.read)


def stored(base: Base, kind: str, quantise: gguf_types.Quantise | None) -> StoredBase:
    """Return ``base`` with the weights of its linear targets stored in tensor type ``kind``."""
    recipe = {entry.name: getattr(base, entry.name) for entry in fields(base)}
    return StoredBase(**{**recipe, "name": f"{base.name}-{kind}"}, plain=base, kind=kind, quantise=quantise)
