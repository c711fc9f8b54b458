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
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from numpy.typing import NDArray

from harness.formats.tensor import Bytes
from harness.formats.write import Spec, as_bytes, write_container
from harness.models.base_model import Base, Weight
from sdcpp import cache

#: The types of blocks, and where in a block the two bytes of its scale in F16 are.
TYPES = {"Q8_0": slice(0, 2), "Q4_0": slice(0, 2), "TQ2_0": slice(64, 66)}
#: The number of blocks in the list by the number of values in one. It is a prime, so no row length divides it, and rows
#: do not repeat soon.
_BLOCKS = {32: 131_071, 256: 16_381}


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
        blocks, place = _list(self.seed, weight.dtype).copy(), TYPES[weight.dtype]
        scales = blocks[:, place].copy().view(np.float16).astype(np.float32) * np.float32(weight.std)
        blocks[:, place] = scales.astype(np.float16).view(np.uint8)
        left = math.prod(weight.shape) // _values(weight.dtype)
        start = int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:4]) % len(blocks)
        while left:
            piece = blocks[start : start + left]
            yield as_bytes(piece)
            left, start = left - len(piece), 0


@functools.cache
def _list(seed: int, kind: str) -> NDArray[np.uint8]:
    """Return the list of blocks of standard normal numbers: uint8 [blocks, bytes of a block]."""
    size = _values(kind)
    values = np.random.default_rng(seed).standard_normal((_BLOCKS[size], size), dtype=np.float32)
    return np.asarray(quants.quantize(values, GGMLQuantizationType[kind]))


def _values(kind: str) -> int:
    """Return the number of values in a block of a type."""
    return int(GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0])
