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
#: The prefix of a merged tensor's full name, and the role of the file that has the tensor. The first matching prefix
#: counts. The library takes a tensor from the last file that has it. It adds the prefix of a file's role to names that
#: do not begin with that prefix.
ROLES = (("model.diffusion_model.", "diffusion_model"), ("", "clip_l"))

#: Increment this number when the same adapters give other files. Cached files are then written again.
CACHE_VERSION = 2


def digest(uses: Sequence[Use[AdapterFile]]) -> str:
    """Return the SHA-256 of the adapters' values and multipliers, in order, as hexadecimal text."""
    parts = [f"{use.file.values_digest()}@{use.multiplier!r}" for use in uses]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make(base: Base, uses: Sequence[Use[AdapterFile]], *, rounded: bool = False) -> dict[str, Path]:
    """Write the tensors that the adapters change, with all adapters merged, and return the files by role.

    Files that are in the cache are not written again. The changes are added in float64 and rounded once, to the type of
    the tensor in the base model. That type is F16 for kernels, because the library converts every kernel to F16. It is
    F32 for the other tensors that adapters change. With ``rounded``, which needs a StoredBase, the sums are stored in
    the type of the base model's weights. If ``base.full_merged_file`` is true, the complete model is written.

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
            # Up to sdist 0.3.6 the library adds the prefix of the role to every name, so it is removed here.
            files.setdefault(overlay, {})[name.removeprefix("model.diffusion_model.")] = array
        for overlay, arrays in files.items():
            write_arrays(partial / f"{overlay}.safetensors", "safetensors", arrays)

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
