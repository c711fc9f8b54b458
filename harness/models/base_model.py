"""Base models: small, with random weights that are reproducible from a seed.

No published weights are used. A base model has the tensor names and widths that a revision of the library requires, and
random values. Its pictures show nothing, but they depend on every weight that an adapter changes.
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

#: Increment this number when the same recipe gives other tensors. Cached files are then written again.
CACHE_VERSION = 1
#: The number of random numbers in the block from which the values of all tensors are taken. It is a prime, so no row
#: length divides it, and the rows of a large matrix do not repeat.
BLOCK = 4_194_301


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor of a base model: its shape in PyTorch's order, the distribution of its values, and its type.

    ``std`` is the standard deviation of the values; it is 0 for a constant tensor. ``mean`` is added to every value. It
    is one number, or one number for each index of the first axis.
    """

    shape: tuple[int, ...]
    std: float
    mean: float | tuple[float, ...] = 0.0
    dtype: str = "F16"


Weights = dict[str, Weight]
#: The role of a file, and the name of a tensor in that file.
TensorId = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The requirements for the pictures of a base model. A case is not judged if its pictures do not meet them.

    Unless they are ``required``, only ``effect`` counts, and each case is judged by itself.

    ``brightness`` is the range of the mean brightness, in grey levels from 0 to 255. ``clipped`` is the largest share
    of values that may be 0 or 255. ``effect`` is the smallest RMS change by an adapter, in grey levels. For that change
    ``oracle.widened`` returns a bound of 0.11. A missing adapter has an error of 1, nine times that bound.
    """

    brightness: tuple[float, float] = (64.0, 192.0)
    clipped: float = 0.02
    effect: float = 8.0
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the pictures of a large base model need: by default one worker makes all of them, with all cores.

    ``timeout`` is the seconds for a picture. With ``keeps_state`` the worker does not fork, because a fork in which the
    library changes the weights needs memory for both copies.
    """

    timeout: float
    keeps_state: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """The recipe of a base model: the tensors of each file, the seed, and the weights that adapters may change.

    - ``files`` maps a role of ``sdcpp.binding.api.ModelFiles`` to the tensors of that file.
    - ``targets`` maps the name that an adapter uses (dotted, as in the model) to the role and the tensor name of the
      weight that it changes. It has the linear layers of the diffusion model.
    - ``groups`` has further maps of this form, by name: convolutions and the text encoder.
    - ``width`` and ``height`` are the size of the pictures in pixels.
    - ``clip_skip`` is explained in ``sdcpp.binding.api.interface.Generation``.
    - ``needs`` names what a revision may lack that the base model needs; see ``lacks`` in revisions.toml.
    - ``edits`` is true if the model can edit a reference picture with the tensors that it has, and ``edits_only`` if
      it makes no picture without one.
    - ``demand`` is what its pictures need if it is large, else None.
    - ``full_merged_file`` is true if a merged model must be written as one complete file. Otherwise only the changed
      tensors are written, and the library loads them as a second file.
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
    needs: tuple[str, ...] = ()
    edits: bool = False
    edits_only: bool = False
    demand: Demand | None = None
    full_merged_file: bool = False

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the recipe as hexadecimal text. Base models with the same digest have the same tensors.

        The order of the tensors does not count, so a model in the cache can have another one than its recipe.
        """
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
        """The parameters of a generation, without the seed and the adapters."""
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
        """The folder in the cache that has the files of this recipe."""
        return cache.root() / cache.MODELS / f"{self.name}-{self.digest[:12]}"

    def path(self, role: str) -> Path:
        """Return the path of the file of a role. The file exists after ``make`` has run."""
        return self.folder / f"{role}.safetensors"

    def make(self) -> dict[str, Path]:
        """Write the files if they are not in the cache, and return their paths by role."""

        def write(partial: Path) -> None:
            for role in self.files:
                self.write(role, partial / f"{role}.safetensors", {})

        cache.get_or_create(self.folder, write)
        return {role: self.path(role) for role in self.files}

    def write(self, role: str, path: Path, changed: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the file of a role as safetensors. Arrays in ``changed`` replace the tensors of the same name.

        All other tensors are created one at a time, so that only one of them is in memory.
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
        """The SHA-256 of the files' SHA-256s, in the order of ``files``, as hexadecimal text.

        Pictures of two machines can be compared if this value is the same on both. It is kept in a file beside the
        model, because hashing takes time.
        """
        digest_file = self.folder / "sha256"
        paths = self.make()
        if not digest_file.exists():
            combined = hashlib.sha256()
            for path in paths.values():
                with path.open("rb") as file:
                    combined.update(hashlib.file_digest(file, "sha256").digest())
            partial = digest_file.with_suffix(f".{os.getpid()}")
            partial.write_text(combined.hexdigest() + "\n", encoding="utf-8")
            partial.replace(digest_file)
        return digest_file.read_text(encoding="utf-8").strip()

    def group(self, name: str) -> Mapping[str, TensorId]:
        """Return the targets of a group, which is "linear" or a key of ``groups``. An unknown group is empty."""
        return self.targets if name == "linear" else self.groups.get(name, {})

    def weight(self, target: str) -> NDArray[np.float32]:
        """Return the values of the weight of ``target``, a name in any group: float32, in PyTorch's order."""
        return self.values(next(g[target] for g in (self.targets, *self.groups.values()) if target in g))

    def values(self, tensor: TensorId) -> NDArray[np.float32]:
        """Return the values of a tensor: float32, in PyTorch's order."""
        role, name = tensor
        return self._draw(name, self.files[role][name]).astype(np.float32)

    def _draw(self, name: str, weight: Weight) -> NDArray[np.generic]:
        """Return the values of a tensor in its own type, in PyTorch's order."""
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
    """Return the ``BLOCK`` random numbers of a seed: standard normal, float32."""
    if seed not in _blocks:
        _blocks[seed] = np.random.default_rng(seed).standard_normal(BLOCK, dtype=np.float32)
    return _blocks[seed]
