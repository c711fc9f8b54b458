"""Adapter files on disk: one recipe in one container and tensor type, and what its stored values mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache as remember
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from harness.adapter import Adapter, merge
from harness.base import Base
from harness.formats import ckpt, gguf, safetensors
from sdcpp import cache

#: Raised when files are written in another way, so that cached ones are made anew.
MAKER = 1
SUFFIXES = {"safetensors": ".safetensors", "ckpt": ".ckpt", "gguf": ".gguf"}
_NUMPY = {"F32": np.float32, "F16": np.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFile:
    """An adapter in a container ("safetensors", "ckpt", "gguf") with tensors of a type ("F32" ... "Q4_0")."""

    base: Base
    adapter: Adapter
    container: str
    kind: str

    @property
    def name(self) -> str:
        """The file's name without suffix. It is unique in its folder whatever the suffix."""
        return f"{self.container}-{self.kind}"

    @property
    def folder(self) -> Path:
        """Where all files of the same recipe lie."""
        recipe = hashlib.sha256(f"{MAKER}/{self.base.digest}/{self.adapter.digest}".encode()).hexdigest()
        return cache.root() / "adapters" / f"{self.base.name}-{self.adapter.name}-{recipe[:12]}"

    @property
    def path(self) -> Path:
        """Where the file is; it exists once ``make`` has run."""
        return self.folder / f"{self.name}{SUFFIXES[self.container]}"

    def make(self) -> Path:
        """Write the file if it is not there yet and return its path."""
        with cache.locked(self.folder / "files"):
            if not self.path.exists():
                partial = self.path.with_name(f".partial{self.path.suffix}")
                self._write(partial)
                partial.replace(self.path)
        return self.path

    def _write(self, path: Path) -> None:
        tensors = self.adapter.tensors(self.base)
        if self.container == "gguf":
            gguf.write(path, tensors, self.kind)
            return
        converted = {name: array.astype(_NUMPY[self.kind]) for name, array in tensors.items()}
        if self.container == "ckpt":
            ckpt.write(path, converted)
        else:
            safetensors.write(path, converted.items())

    def values(self) -> dict[str, NDArray[np.float32]]:
        """Return what the file holds, dequantised to float32, read back from it by a public package.

        No public package reads a ckpt without running its pickle, so a ckpt's values are those written.
        """
        return _values(self)

    def values_digest(self) -> str:
        """SHA-256 of ``values``: files that hold the same numbers share it."""
        return _values_digest(self)

    def merged(self, multiplier: float) -> dict[tuple[str, str], NDArray[np.float32]]:
        """Return the base model's weights, by role and name, with this adapter's stored values merged in."""
        return merge(self.base, self.values(), multiplier)


@remember
def _values(file: AdapterFile) -> dict[str, NDArray[np.float32]]:
    if file.container == "gguf":
        return gguf.read(file.make())
    if file.container == "safetensors":
        return {name: array.astype(np.float32) for name, array in load_file(file.make()).items()}
    file.make()
    tensors = file.adapter.tensors(file.base)
    return {name: array.astype(_NUMPY[file.kind]).astype(np.float32) for name, array in tensors.items()}


@remember
def _values_digest(file: AdapterFile) -> str:
    whole = hashlib.sha256()
    for name, array in sorted(file.values().items()):
        whole.update(name.encode() + repr(array.shape).encode() + array.tobytes())
    return whole.hexdigest()
