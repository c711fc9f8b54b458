"""Base models whose sizes the library fixes: hundreds of millions of parameters, stored quantised in a GGUF file.

A quantised tensor repeats one list of blocks of random numbers, so that neither time nor memory is needed to make it.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, quants
from numpy.typing import NDArray

from harness.formats.tensor import Bytes
from harness.formats.write import Spec, as_bytes, write_container
from harness.models.base_model import Base, Weight
from sdcpp import cache

#: The types of blocks, whose first two bytes are their scale in F16. Each has 32 values.
TYPES = ("Q8_0", "Q4_0")
_VALUES = 32
#: The number of blocks in the list. It is a prime, so no row length divides it, and rows do not repeat soon.
_BLOCKS = 131_071


@dataclass(frozen=True, kw_only=True, eq=False)
class LargeBase(Base):
    """A base model whose file of role model is a GGUF file; ``dtype`` of its weights may also be one of ``TYPES``.

    The weights that adapters change have a float type. With ``video`` the library makes one frame of a video.
    """

    video: bool = False

    @cached_property
    def generation(self) -> dict[str, str | int | float]:
        """The parameters of a generation, without the seed and the adapters."""
        return {**super().generation, **({"video": True} if self.video else {})}

    def path(self, role: str) -> Path:
        """Return the path of the file of a role. The file exists after ``make`` has run."""
        return super().path(role).with_suffix(".gguf") if role == "model" else super().path(role)

    def make(self) -> dict[str, Path]:
        """Write the files if they are not in the cache, and return their paths by role."""

        def write(partial: Path) -> None:
            for role in self.files:
                self.write(role, partial / self.path(role).name, {})

        cache.get_or_create(self.folder, write)
        return {role: self.path(role) for role in self.files}

    def write(self, role: str, path: Path, changed: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the file of a role. Arrays in ``changed`` replace the tensors of the same name."""
        if role != "model":
            super().write(role, path, changed)
            return
        weights = self.files[role]

        def fill(spec: Spec, _: int | None) -> Iterator[Bytes]:
            weight = weights[spec.name]
            if spec.name in changed:
                yield as_bytes(changed[spec.name])
            elif weight.dtype in TYPES:
                yield from self._blocks(spec.name, weight)
            else:
                yield as_bytes(self._draw(spec.name, weight))

        specs = [Spec(name=name, shape=weight.shape, kind=weight.dtype) for name, weight in weights.items()]
        write_container(path, "gguf", specs, {}, fill)

    def _blocks(self, name: str, weight: Weight) -> Iterator[Bytes]:
        """Yield the blocks of a quantised tensor in pieces. Its first block depends on its name."""
        blocks = _list(self.seed, weight.dtype).copy()
        scales = blocks[:, :2].copy().view(np.float16).astype(np.float32) * np.float32(weight.std)
        blocks[:, :2] = scales.astype(np.float16).view(np.uint8)
        left = math.prod(weight.shape) // _VALUES
        start = int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:4]) % _BLOCKS
        while left:
            piece = blocks[start : start + left]
            yield as_bytes(piece)
            left, start = left - len(piece), 0


@functools.cache
def _list(seed: int, kind: str) -> NDArray[np.uint8]:
    """Return ``_BLOCKS`` blocks of standard normal numbers: uint8 [blocks, bytes of a block]."""
    values = np.random.default_rng(seed).standard_normal((_BLOCKS, _VALUES), dtype=np.float32)
    return np.asarray(quants.quantize(values, GGMLQuantizationType[kind]))
