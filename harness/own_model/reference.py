"""The model of a user with an adapter merged into it: the picture of this model is the wanted one.

The files are written tensor by tensor, kept in the cache, and used again for the same model, adapter and multiplier.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.converter.merge_into_base import WeightedAdapter, merge
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.own_model.fit import fit
from harness.own_model.model import Part, UserModel
from harness.own_model.progress import growing
from harness.quantising.quantiser import Quantiser
from harness.text import listed
from sdcpp import cache
from sdcpp.errors import AdapterUnknown, OutputRefused

#: The folder of the cache.
FOLDER = "references"
#: The number of bytes of merged models that the cache keeps.
KEPT = 30 << 30
#: Increment this number when the same model and adapter give other files.
CACHE_VERSION = 1
#: The suffix of the merged file for each container. Not every revision reads a ckpt, so none is written.
_SUFFIXES = {"gguf": ".gguf", "safetensors": ".safetensors", "ckpt": ".safetensors"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter file and its multiplier."""

    path: Path
    multiplier: float = 1.0


def why_not(adapter: Path, model: UserModel) -> str:
    """Return why an adapter cannot be merged into a model, or "" if it can be."""
    layout = layout_of(read_tensors(adapter))
    found = fit(layout, model)
    if layout.other_tensors:
        return f"{listed([t.name for t in layout.other_tensors], 3)} is not understood"
    if found.problems:
        return found.problems[0]
    if not found.modules:
        return "no module of it fits the model"
    incomplete = [key for key, module in layout.modules.items() if module.kind == "incomplete"]
    return f"{incomplete[0]} is incomplete" if incomplete else ""


def coarse(model: UserModel) -> bool:
    """Return whether the weights of a model have a type that is coarser than F16 and that the library keeps."""
    return model.quantised or model.kind == "BF16"


def exact_bytes(adapter: Path, model: UserModel) -> int:
    """Return about how many bytes the files of a model take with an adapter merged and changed tensors as F16."""
    changed = fit(layout_of(read_tensors(adapter)), model).kinds
    coarse_kinds = {kind for kind in changed.values() if kind not in ("F64", "F32", "F16")}
    return sum(
        2 * tensor.size if part.adapted and tensor.kind in coarse_kinds else tensor.nbytes
        for part in model.parts
        for tensor in part.file.tensors.values()
    )


def make(
    adapter: Adapter, model: UserModel, quantiser: Quantiser | None, *, rounded: bool
) -> dict[str, Path]:
    """Write a model with an adapter merged into it, unless it is in the cache, and return its files by role.

    With ``rounded`` changed tensors keep their types, as when the library merges the adapter while it runs. Otherwise
    those of types coarser than F16 become F16. Files without changed tensors are those of the model. Raises
    AdapterUnknown if the adapter cannot be merged (see ``why_not``), and the errors of ``merge``.
    """
    changed = _changed_parts(adapter.path, model)
    if not changed:
        raise AdapterUnknown("no module fits the model", adapter.path, "check that it is for this model")
    folder = cache.root() / FOLDER / _name(adapter, model, rounded=rounded)

    def write(partial: Path) -> None:
        total = sum(part.path.stat().st_size for part in changed)
        require_space(partial, max(total, 0 if rounded else exact_bytes(adapter.path, model)))
        with growing(partial, total, f"merging {adapter.path.name} into the model"):
            for index, part in enumerate(changed):
                target = partial / f"{index}{_SUFFIXES[part.file.container]}"
                weighted = WeightedAdapter(path=adapter.path, multiplier=adapter.multiplier)
                merge(part.path, [weighted], target, (), quantiser, exact=not rounded)

    cache.get_or_create(folder, write)
    cache.evict_oldest(folder, KEPT)
    merged = {
        part.path: folder / f"{index}{_SUFFIXES[part.file.container]}" for index, part in enumerate(changed)
    }
    return {role: _with_merged(path, model, merged, folder) for role, path in model.files.items()}


def require_space(folder: Path, needed: int) -> None:
    """Raise OutputRefused if the disk of a folder has less free space than ``needed`` bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputRefused(
            f"the merged model takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            folder.parent,
            f"free some space, or use another cache with {cache.VARIABLE}=FOLDER",
        )


def _with_merged(path: Path, model: UserModel, merged: Mapping[Path, Path], folder: Path) -> Path:
    """Return the file or the folder of diffusers that stands for one of the model.

    A folder has links to the merged files and to those that do not change.
    """
    inside = [part for part in model.parts if part.inside and part.path.is_relative_to(path)]
    if not inside:
        return merged.get(path, path)
    for part in inside:
        link = folder / "diffusers" / part.inside
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(merged.get(part.path, part.path.resolve()))
    return folder / "diffusers"


def _changed_parts(adapter: Path, model: UserModel) -> list[Part]:
    """Return the files of a model that an adapter changes."""
    layout = layout_of(read_tensors(adapter))
    parts = [part for part in model.parts if part.adapted]
    return [part for part in parts if fit(layout, UserModel(files={}, parts=(part,), unreadable=())).modules]


def _name(adapter: Adapter, model: UserModel, *, rounded: bool) -> str:
    """Return the name of the folder in the cache."""
    parts = [str(CACHE_VERSION), repr(adapter.multiplier)]
    with adapter.path.open("rb") as file:
        parts.append(hashlib.file_digest(file, "sha256").hexdigest())
    beside = adapter.path.parent / "adapter_config.json"
    parts.append(beside.read_text(errors="replace") if beside.is_file() else "")
    parts += [stamp(path) for part in model.parts for path in part.paths]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{digest[:24]}{'-rounded' if rounded else ''}"


def stamp(path: Path) -> str:
    """Return a text that changes when a file changes: hashing a model would take as long as writing it."""
    state = path.stat()
    return f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
