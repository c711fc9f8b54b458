"""A base model with adapters merged into it beforehand, by numpy: the strongest reference there is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.formats import gguf_types
from harness.formats.tensor import NUMPY
from harness.formats.write import write_arrays
from harness.models.base_model import Base, TensorId
from harness.models.quantised_base import StoredBase
from sdcpp import cache
from sdcpp.errors import CacheBusy

#: How many bytes of merged tensors are kept: each is for one picture of each build, and a long run makes many.
KEPT = 3 << 30
#: The role under which a merged tensor is given to the library, by how its full name begins. The library takes a
#: tensor from the last file that has it, and puts a role's own prefix before names that do not begin with it.
ROLES = (("model.diffusion_model.", "diffusion_model"), ("", "clip_l"))

#: Raised when files are written in another way, so that cached ones are made anew.
CACHE_VERSION = 2


def digest(uses: Sequence[Use[AdapterFile]]) -> str:
    """SHA-256 of what is merged: the values that the files hold, and the multipliers."""
    parts = [f"{use.file.values_digest()}@{use.multiplier!r}" for use in uses]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make(base: Base, uses: Sequence[Use[AdapterFile]], *, rounded: bool = False) -> dict[str, Path]:
    """Return files of those tensors of the base that the adapters change, with all merged in, by their role.

    The changes are added up in float64 and rounded once. The files have the types of the base model's: kernels are
    F16, because the library has them so whatever the file says, and what adapters change is F32 elsewhere.
    ``rounded`` is for a StoredBase: the sums are stored in its type, as its weights are.
    """
    name = (
        f"{base.name}-{base.digest[:12]}-{digest(uses)[:16]}-{CACHE_VERSION}{'-rounded' if rounded else ''}"
    )
    folder = cache.root() / cache.MERGED / name

    def write(partial: Path) -> None:
        sums: dict[TensorId, NDArray[np.float64]] = {}
        for use in uses:
            for place, change in use.file.changes(use.multiplier).items():
                sums[place] = sums[place] + change if place in sums else base.values(place) + change
        if rounded:
            assert isinstance(base, StoredBase)  # noqa: S101 - no other has a type to round to
            floats = {name: array.astype(np.float32) for (_, name), array in sums.items()}
            gguf_types.write(partial / "diffusion_model.gguf", floats, base.kind, quantise=base.quantise)
            return
        rounded_sums = {
            (role, name): array.astype(np.float32).astype(NUMPY[base.files[role][name].dtype])
            for (role, name), array in sums.items()
        }
        if base.full_merged_file:
            changed = {name: array for (role, name), array in rounded_sums.items() if role == "model"}
            base.write("model", partial / "model.safetensors", changed)
            return
        files: dict[str, dict[str, NDArray[np.generic]]] = {}
        for (_, name), array in rounded_sums.items():
            overlay = next(overlay for start, overlay in ROLES if name.startswith(start))
            # Up to sdist 0.3.6 a role's prefix is put before every name, later before those that lack it.
            files.setdefault(overlay, {})[name.removeprefix("model.diffusion_model.")] = array
        for overlay, arrays in files.items():
            write_arrays(partial / f"{overlay}.safetensors", "safetensors", arrays)

    for _ in range(3):
        cache.get_or_create(folder, write)
        cache.evict_oldest(folder, KEPT)
        # Another process that makes room may have taken it between the two for one that nobody uses any more.
        with suppress(FileNotFoundError):
            if made := {path.stem: path for path in sorted(folder.iterdir())}:
                return made
    raise CacheBusy("merged tensors are gone", folder, "is another process emptying the cache? Try again")
