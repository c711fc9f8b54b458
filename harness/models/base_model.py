"""Base models: small, random, reproducible from a seed, and calibrated so that pictures can be judged.

No published weights are used. A base model has the tensor names and the widths that a revision demands and
random values in them; what it paints means nothing, but it depends on every weight that an adapter changes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import NUMPY, Bytes
from harness.formats.write import Spec, as_bytes, write_container
from sdcpp import cache

#: Raised when the way tensors are made from a recipe changes, so that cached files are made anew.
CACHE_VERSION = 1
#: Length of the block of random numbers that all tensors are cut from. A prime, so that no row length divides
#: it and rows of a large matrix do not repeat in step.
BLOCK = 4_194_301


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor of a base model: its shape in PyTorch's order and how its values are drawn.

    ``std`` is the standard deviation, 0 for a constant tensor; ``mean`` is added to every value: one number,
    or one for each index of the first axis.
    """

    shape: tuple[int, ...]
    std: float
    mean: float | tuple[float, ...] = 0.0
    dtype: str = "F16"


Weights = dict[str, Weight]
#: The role of a file and the name of a tensor in it.
TensorId = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a base model's pictures must look like before anything is judged by them.

    Mean brightness lies within ``brightness`` (grey levels of 255), at most ``clipped`` of the values are 0
    or 255, and an adapter changes the picture by at least ``effect`` grey levels RMS. Of that ``oracle.widened`` makes
    a bound of 0.11, a ninth of what a missing adapter scores; a case with less is not judged.
    """

    brightness: tuple[float, float] = (64.0, 192.0)
    clipped: float = 0.02
    effect: float = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """A recipe: which tensors go into which file, from which seed, and which of them adapters may change.

    ``files`` maps a role of ``sdcpp.binding.api.ModelFiles`` to the tensors of that file. ``targets`` maps the name
    that an adapter uses (dotted, as in the model) to the role and tensor name of the weight it changes: the
    linear layers of the diffusion model. ``groups`` has more such maps: convolutions, the text encoder.
    ``whole`` says that what is merged into it is given as a whole model file, not as a second one beside it.
    ``clip_skip`` is explained at ``sdcpp.binding.api.interface.Generation``.
    """

    name: str
    architecture: str
    files: Mapping[str, Weights]
    targets: Mapping[str, TensorId]
    groups: Mapping[str, Mapping[str, TensorId]] = field(default_factory=dict)
    seed: int = 1
    width: int = 64
    height: int = 64
    steps: int = 1
    cfg_scale: float = 1.0
    clip_skip: int = 0
    prompt: str = "a lighthouse at dusk"
    calibration: Calibration = field(default_factory=Calibration)
    whole: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the recipe: the identity of the model's files."""
        recipe = {
            "maker": CACHE_VERSION,
            "seed": self.seed,
            "files": {
                role: {n: asdict(w) for n, w in weights.items()} for role, weights in self.files.items()
            },
        }
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

    @cached_property
    def generation(self) -> dict[str, str | int | float]:
        """What is asked of the library for a picture, but for the seed and the adapters."""
        return {
            "prompt": self.prompt,
            "width": self.width,
            "height": self.height,
            "steps": self.steps,
            "cfg_scale": self.cfg_scale,
            "clip_skip": self.clip_skip,
        }

    @property
    def folder(self) -> Path:
        """Where the files of this recipe lie in the cache."""
        return cache.root() / cache.MODELS / f"{self.name}-{self.digest[:12]}"

    def path(self, role: str) -> Path:
        """Return the path of one file; it exists once ``make`` has run."""
        return self.folder / f"{role}.safetensors"

    def make(self) -> dict[str, Path]:
        """Write the files if the cache does not have them and return their paths by role."""

        def write(partial: Path) -> None:
            for role in self.files:
                self.write(role, partial / f"{role}.safetensors", {})

        cache.get_or_create(self.folder, write)
        return {role: self.path(role) for role in self.files}

    def write(self, role: str, path: Path, changed: Mapping[str, NDArray[np.generic]]) -> None:
        """Write one file as safetensors, with the tensors of ``changed`` in the place of its own.

        The others are drawn one at a time, so that no more than one of them is in memory.
        """
        weights = self.files[role]

        def fill(spec: Spec, _: int | None) -> list[Bytes]:
            if spec.name in changed:
                return [as_bytes(changed[spec.name])]
            return [as_bytes(self._draw(spec.name, weights[spec.name]))]

        specs = [Spec(name=name, shape=weight.shape, kind=weight.dtype) for name, weight in weights.items()]
        write_container(path, "safetensors", specs, {}, fill)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the files, in the order of ``files``: what two machines must share to be compared."""
        kept = self.folder / "sha256"
        paths = self.make()
        if not kept.exists():
            whole = hashlib.sha256()
            for path in paths.values():
                with path.open("rb") as file:
                    whole.update(hashlib.file_digest(file, "sha256").digest())
            partial = kept.with_suffix(f".{os.getpid()}")
            partial.write_text(whole.hexdigest() + "\n", encoding="utf-8")
            partial.replace(kept)
        return kept.read_text(encoding="utf-8").strip()

    def group(self, name: str) -> Mapping[str, TensorId]:
        """Return the targets of one group: "linear" or a key of ``groups``; empty if there are none."""
        return self.targets if name == "linear" else self.groups.get(name, {})

    def weight(self, target: str) -> NDArray[np.float32]:
        """Return the values of the weight that ``target`` names, float32, in PyTorch's order."""
        return self.values(next(g[target] for g in (self.targets, *self.groups.values()) if target in g))

    def values(self, place: TensorId) -> NDArray[np.float32]:
        """Return the values of a tensor of one of the files, float32, in PyTorch's order."""
        role, name = place
        return self._draw(name, self.files[role][name]).astype(np.float32)

    def _draw(self, name: str, weight: Weight) -> NDArray[np.generic]:
        """Return the values of a tensor as they are stored, in PyTorch's order."""
        block = _block(self.seed)
        count = math.prod(weight.shape)
        values = np.empty(weight.shape, np.float32)
        values.T[...] = np.asarray(weight.mean, np.float32)
        values = values.reshape(count)
        if weight.std:
            start = int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:4]) % BLOCK
            done = 0
            while done < count:
                piece = block[start : start + count - done]
                values[done : done + piece.size] += piece * np.float32(weight.std)
                done, start = done + piece.size, 0
        return values.reshape(weight.shape).astype(NUMPY[weight.dtype])


_blocks: dict[int, NDArray[np.float32]] = {}


def _block(seed: int) -> NDArray[np.float32]:
    if seed not in _blocks:
        _blocks[seed] = np.random.default_rng(seed).standard_normal(BLOCK, dtype=np.float32)
    return _blocks[seed]
