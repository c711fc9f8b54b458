"""Base models into which numpy has merged adapters. Their pictures are the reference for pictures with adapters."""

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

#: The number of bytes of merged tensors that the cache keeps. A long run makes many merged models and needs each of
#: them for one picture of each build.
KEPT = 3 << 30
#: The prefix of the names of the diffusion model's tensors in the file of role model.
DIFFUSION_MODEL = "model.diffusion_model."

#: Increment this number when the same adapters give other files. Cached files are then written again.
CACHE_VERSION = 2


def digest(uses: Sequence[Use[AdapterFile]]) -> str:
    """Return the SHA-256 of the adapters' values and multipliers, in order, as hexadecimal text."""
    parts = [f"{use.file.values_digest()}@{use.multiplier!r}" for use in uses]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make(base: Base, uses: Sequence[Use[AdapterFile]], *, rounded: bool = False) -> dict[str, Path]:
    """Write the tensors that the adapters change, with all adapters merged, and return the files by role.

    - The changed tensors of the diffusion model are written to a file of role diffusion_model. The library loads it
      after the file of role model, and takes a tensor from the last file that has it. If ``base.full_merged_file`` is
      true, the complete file of role model is written instead.
    - A file of another role, such as clip_l, is written completely and replaces that of the base model. Two files would
      not work here, because it depends on the revision which of them is used. For the text encoder of the small base
      models the file has 85 MB and takes 0.3 s.

    Files that are in the cache are not written again. The changes are added in float64 and rounded once, to the type of
    the tensor in the base model. That type is F16 for kernels, because the library converts every kernel to F16, and
    for the layers outside the blocks of small families. It is F32 for the other tensors that adapters change. With
    ``rounded``, which needs a StoredBase, the sums are stored in the type of the base model's weights.

    Raises CacheBusy if another process removes the files again and again.
    """
    name = (
        f"{base.name}-{base.digest[:12]}-{digest(uses)[:16]}-{CACHE_VERSION}{'-rounded' if rounded else ''}"
    )
    folder = cache.root() / cache.MERGED / name

    def write(partial: Path) -> None:
        sums: dict[TensorId, NDArray[np.float64]] = {}
        for use in uses:
            for tensor, change in use.file.changes(use.multiplier).items():
                sums[tensor] = sums[tensor] + change if tensor in sums else base.values(tensor) + change
        if rounded:
            assert isinstance(base, StoredBase)  # noqa: S101 - other base models have no such type
            floats = {name: array.astype(np.float32) for (_, name), array in sums.items()}
            gguf_types.write(partial / "diffusion_model.gguf", floats, base.kind, quantise=base.quantise)
            return
        by_role: dict[str, dict[str, NDArray[np.generic]]] = {}
        for (role, name), array in sums.items():
            rounded_sum = array.astype(np.float32).astype(NUMPY[base.files[role][name].dtype])
            by_role.setdefault(role, {})[name] = rounded_sum
        for role, changed in by_role.items():
            if role == "model" and not base.full_merged_file:
                # Up to sdist 0.3.6 the library adds the prefix of the role to every name, so it is removed here.
                arrays = {name.removeprefix(DIFFUSION_MODEL): array for name, array in changed.items()}
                write_arrays(partial / "diffusion_model.safetensors", "safetensors", arrays)
            else:
                base.write(role, partial / f"{role}.safetensors", changed)

    for _ in range(3):
        cache.get_or_create(folder, write)
        cache.evict_oldest(folder, KEPT)
        # After get_or_create another process may evict the folder, because nobody holds a lock on it.
        with suppress(FileNotFoundError):
            if paths := {path.stem: path for path in sorted(folder.iterdir())}:
                return paths
    raise CacheBusy(
        "another process removed the merged tensors",
        folder,
        "wait until it no longer empties the cache, then retry",
    )
