"""Adapter files on disk: one recipe in one container and tensor type, and what its stored values mean."""

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

#: Raised when files are written in another way, so that cached ones are made anew.
CACHE_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFile:
    """An adapter in a container ("safetensors", "ckpt", "gguf") with tensors of a type ("F32" ... "Q4_0").

    ``quantise`` makes the types that the gguf package cannot make.
    """

    base: Base
    adapter: Adapter
    container: str
    kind: str
    quantise: gguf_types.Quantise | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What records call the file."""
        return f"{self.adapter.name}-{self.container}-{self.kind}"

    @property
    def folder(self) -> Path:
        """Where all files for the same base model lie, because a context may know one folder only."""
        return cache.root() / cache.ADAPTERS / f"{self.base.name}-{self.base.digest[:12]}"

    @property
    def path(self) -> Path:
        """Where the file is; it exists once ``make`` has run. Its stem is unique in the folder."""
        return self.folder / f"{self.name}-{self._recipe[:8]}{SUFFIXES[self.container][0]}"

    @property
    def _recipe(self) -> str:
        # Which weights a group has is no part of the base model's digest, which is that of its files.
        targets = [sorted(self.base.group(group).items()) for group in self.adapter.targets]
        return hashlib.sha256(f"{CACHE_VERSION}/{self.adapter.digest}/{targets}".encode()).hexdigest()

    def make(self) -> Path:
        """Write the file if it is not there yet and return its path."""
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
        """Return what the file holds, dequantised to float32, read back from it by a public package.

        No public package reads a ckpt without running its pickle, so a ckpt's values are those written.
        """
        return _values(self)

    def values_digest(self) -> str:
        """Return an identity of ``values`` that is known without the file, so that naming a shot makes none.

        Files of one adapter share it whose numbers are the same whatever the container. GGUF keeps vectors in F32.
        """
        rounding = "GGUF" if self.container == "gguf" and self.kind != "F32" else "all tensors"
        return hashlib.sha256(f"{self._recipe}/{rounding}/{self.kind}".encode()).hexdigest()

    def changes(self, multiplier: float) -> dict[TensorId, NDArray[np.float64]]:
        """Return what this adapter's stored values add to the base's tensors, by role and name."""
        return changes(self.base, self.values(), multiplier, self.adapter)


# A file's values are wanted for one reference after another, not for the whole of a long run.
@lru_cache(maxsize=4)
def _values(file: AdapterFile) -> dict[str, NDArray[np.float32]]:
    if file.container == "gguf":
        return gguf_types.read(file.make())
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
