"""What a file of an adapter holds, and whether it fits a base model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.converter import input_checks, weight_change
from harness.converter.base_weights import BaseWeights
from harness.converter.modules import Layout, Module, layout, scheme
from harness.formats.read import read_tensors
from harness.formats.tensor import File
from harness.models import tiny_models
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleGroup:
    """Modules that are alike: how many, their kind, rank, alpha and the types of their tensors."""

    count: int
    kind: str
    where: str
    rank: int | None
    alpha: float | None
    types: str
    convolution: bool
    dora: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSummary:
    """What there is to say of a file; ``complaints`` are what is wrong with it, one line each."""

    path: Path
    container: str
    scheme: str
    tensors: int
    bytes: int
    bits: float
    groups: Sequence[ModuleGroup]
    metadata: Mapping[str, object]
    complaints: Sequence[str]
    base: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON's types."""
        return {**asdict(self), "path": self.path.name}


def inspect(path: Path, base: str | None = None) -> AdapterSummary:
    """Return what a file holds; ``base`` is a model's file or the name of one of ``harness.models.tiny_models``.

    Every value is read once, to find NaN and infinity. Raises what reading raises.
    """
    file = read_tensors(path)
    found = layout(file.tensors.values())
    complaints = [f"tensor {t.name} belongs to no adapter" for t in found.strangers]
    for module in found.modules.values():
        complaint = input_checks.complaint(module)
        if complaint:
            complaints.append(complaint)
    complaints += _values(file)
    if base is not None:
        complaints += _fit(found, *_base(base))
    size = sum(t.nbytes for t in file.tensors.values())
    return AdapterSummary(
        path=path,
        container=file.container,
        scheme=scheme(file.tensors),
        tensors=len(file.tensors),
        bytes=path.stat().st_size,
        bits=8 * size / max(1, sum(t.size for t in file.tensors.values())),
        groups=_groups(found),
        metadata={key: entry.value for key, entry in file.metadata.items()},
        complaints=complaints,
        base=base or "",
    )


def require_fit(path: Path, base: str) -> None:
    """Raise AdapterUnknown with the first thing about a file that does not fit a base model."""
    found = inspect(path, base)
    if found.complaints:
        more = len(found.complaints) - 1
        also = f" (and {more} more)" if more else ""
        raise AdapterUnknown(found.complaints[0] + also, path, "sdcpp lora inspect lists all of them")


def _groups(found: Layout) -> list[ModuleGroup]:
    counted = Counter(
        ModuleGroup(
            count=0,
            kind=module.kind,
            where=_where(module.key),
            rank=module.rank,
            alpha=_alpha(module),
            types="/".join(
                dict.fromkeys(t.kind for n, t in module.parts.items() if n not in ("alpha", "scale"))
            ),
            convolution=module.convolution,
            dora=module.dora,
        )
        for module in found.modules.values()
    )
    return [ModuleGroup(**{**asdict(group), "count": count}) for group, count in counted.most_common()]


def _where(key: str) -> str:
    text = ("lora_te", "text_encoder", "cond_stage_model", "text_encoders")
    return "text encoder" if any(word in key for word in text) else "diffusion model"


def _alpha(module: Module) -> float | None:
    tensor = module.parts.get("alpha")
    return float(tensor.values().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None


def _values(file: File) -> list[str]:
    complaints = []
    for tensor in file.tensors.values():
        nan = infinite = 0
        for piece in tensor.pieces():
            nan += int(np.isnan(piece).sum())
            infinite += int(np.isinf(piece).sum())
        if nan or infinite:
            what = " and ".join(f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n)
            complaints.append(f"tensor {tensor.name} has {what} of {tensor.size} values")
    return complaints


def _base(base: str) -> tuple[BaseWeights, Mapping[str, tuple[int, ...]]]:
    """Return the weights of a base model and their shapes."""
    if base in tiny_models.BASES:
        known = tiny_models.BASES[base]
        shapes = {name: w.shape for weights in known.files.values() for name, w in weights.items()}
        return BaseWeights(shapes, {target: name for target, (_, name) in known.targets.items()}), shapes
    file = read_tensors(Path(base))
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    return BaseWeights(shapes), shapes


def _fit(found: Layout, places: BaseWeights, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    complaints = []
    for key, module in found.modules.items():
        if module.kind == "incomplete":
            continue
        place = places.find(key)
        if place is None:
            complaints.append(f"the base has no place for {key}")
            continue
        try:
            change = weight_change.weight_change(module)
        except AdapterUnknown as error:
            if not input_checks.complaint(module):
                complaints.append(f"{key}: {error.what}")
            continue
        first, last = place.rows(shapes[place.name])
        wanted = (last - first, *shapes[place.name][1:])
        if module.kind == "bias":
            wanted = wanted[:1]
        if math.prod(change.shape) != math.prod(wanted) or change.shape[0] != wanted[0]:
            complaints.append(
                f"{key} changes {list(change.shape)}, the base has {list(wanted)} at {place.name}"
            )
    return complaints
