"""Adapter files on disk: the recipe of an adapter, written in one container with one tensor type."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize

from harness.adapters.adapter import Adapter, changes
from harness.formats import gguf_types
from harness.formats.tensor import NUMPY
from harness.formats.write import SUFFIXES, write_arrays
from harness.models.base_model import Base, TensorId
from sdcpp import cache

#: Increment this number when the same recipe gives another file. Cached files are then written again.
CACHE_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFile:
    """An adapter for a base model as a file.

    ``container`` is "safetensors", "ckpt" or "gguf", and ``kind`` the type of its tensors, for example "F32" or "Q4_0".
    ``quantise`` converts to the types that the gguf package cannot make, and ``dequantise`` reads the types that it
    cannot read.
    """

    base: Base
    adapter: Adapter
    container: str
    kind: str
    quantise: gguf_types.Quantise | None = field(default=None, compare=False, repr=False)
    dequantise: gguf_types.Dequantise | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the file in records."""
        return f"{self.adapter.name}-{self.container}-{self.kind}"

    @property
    def folder(self) -> Path:
        """The folder of all adapter files for this base model. A context can use only one folder of adapters."""
        return cache.root() / cache.ADAPTERS / f"{self.base.name}-{self.base.digest[:12]}"

    @property
    def path(self) -> Path:
        """The path of the file, which exists after ``make`` has run. Its stem is unique in the folder."""
        return self.folder / f"{self.name}-{self._recipe[:8]}{SUFFIXES[self.container][0]}"

    @property
    def _recipe(self) -> str:
        """The SHA-256 of the recipe as hexadecimal text."""
        # The digest of a base model covers its files. It does not cover the weights of each group.
        adapters = (self.adapter, *self.adapter.also)
        targets = [sorted(self.base.group(group).items()) for a in adapters for group in a.targets]
        return hashlib.sha256(f"{CACHE_VERSION}/{self.adapter.digest}/{targets}".encode()).hexdigest()

    def make(self) -> Path:
        """Write the file if it does not exist, and return its path."""
        with cache.lock(self.path):
            if not self.path.exists():
                partial = self.path.with_name(f".partial-{self.path.name}")
                self._write(partial)
                partial.replace(self.path)
        return self.path

    def _write(self, path: Path) -> None:
        tensors = self.adapter.tensors(self.base)
        types = self.adapter.types(self.base)
        if self.container == "gguf":
            gguf_types.write(path, tensors, self.kind, types, self.quantise)
            return
        converted = {name: array.astype(NUMPY[types.get(name, self.kind)]) for name, array in tensors.items()}
        write_arrays(path, self.container, converted)

    def values(self) -> dict[str, NDArray[np.float32]]:
        """Return the tensors of the file by name, dequantised to float32. A public package reads them from the file.

        No public package reads a ckpt file without executing its pickle. For a ckpt file the values that were written
        are returned.
        """
        return _values(self)

    def values_digest(self) -> str:
        """Return a SHA-256 that identifies ``values``, as hexadecimal text. The file need not exist for that.

        Files of one adapter have the same digest if they have the same values, whatever the container is. GGUF files of
        other types than F32 have values of their own: their vectors are F32, and in other containers they are rounded.
        """
        rounding = "GGUF" if self.container == "gguf" and self.kind != "F32" else "all tensors"
        return hashlib.sha256(f"{self._recipe}/{rounding}/{self.kind}".encode()).hexdigest()

    def changes(self, multiplier: float) -> dict[TensorId, NDArray[np.float64]]:
        """Return the changes that the stored values make to the base model's tensors: float64, by tensor."""
        return changes(self.base, self.values(), multiplier, self.adapter)


# Successive reference pictures use the values of the same few files, so a small cache is enough.
@lru_cache(maxsize=4)
def _values(file: AdapterFile) -> dict[str, NDArray[np.float32]]:
    if file.container == "gguf":
        return gguf_types.read(file.make(), file.dequantise)
    if file.container == "safetensors":
        # Not safetensors.numpy, which does not know ml_dtypes.bfloat16.
        entries: list[tuple[str, Any]] = deserialize(file.make().read_bytes())  # type: ignore[no-untyped-call]
        return {
            name: np.frombuffer(entry["data"], NUMPY[entry["dtype"]])
            .reshape(entry["shape"])
            .astype(np.float32)
            for name, entry in entries
        }
    file.make()
    tensors, types = file.adapter.tensors(file.base), file.adapter.types(file.base)
    return {
        name: array.astype(NUMPY[types.get(name, file.kind)]).astype(np.float32)
        for name, array in tensors.items()
    }
