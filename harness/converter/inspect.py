"""Summarise an adapter file, and check whether it fits a base model."""

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
    """A group of modules with the same properties. ``count`` is their number.

    ``where`` is "text encoder" or "diffusion model". ``types`` are the types of the factors, separated by slashes.
    """

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
    """The summary of a file.

    ``bytes`` is the size of the file and ``bits`` the average number of bits for each element. ``complaints`` has one
    line for each problem of the file. ``base`` is the base model that the file was checked against, or "".
    """

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
        """Return the summary as values that JSON supports."""
        return {**asdict(self), "path": self.path.name}


def inspect(path: Path, base: str | None = None) -> AdapterSummary:
    """Return the summary of an adapter file.

    With ``base`` the summary also has the problems with that base model: the path of a model file, or the name of a
    base model in ``harness.models.tiny_models``. All values are read to find NaN and infinity. Raises the errors of
    ``read_tensors``.
    """
    file = read_tensors(path)
    adapter = layout(file.tensors.values())
    complaints = [f"tensor {t.name} belongs to no adapter" for t in adapter.other_tensors]
    for module in adapter.modules.values():
        problem = input_checks.problem(module)
        if problem:
            complaints.append(problem)
    complaints += _not_finite(file)
    if base is not None:
        complaints += _misfits(adapter, *_base(base))
    size = sum(t.nbytes for t in file.tensors.values())
    return AdapterSummary(
        path=path,
        container=file.container,
        scheme=scheme(file.tensors),
        tensors=len(file.tensors),
        bytes=path.stat().st_size,
        bits=8 * size / max(1, sum(t.size for t in file.tensors.values())),
        groups=_groups(adapter),
        metadata={key: entry.value for key, entry in file.metadata.items()},
        complaints=complaints,
        base=base or "",
    )


def require_fit(path: Path, base: str) -> None:
    """Raise AdapterUnknown if ``inspect`` finds a problem of a file or of its fit to a base model."""
    complaints = inspect(path, base).complaints
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise AdapterUnknown(complaints[0] + more, path, "sdcpp lora inspect lists all problems")


def _groups(adapter: Layout) -> list[ModuleGroup]:
    """Return the groups of modules, largest first."""
    counts = Counter(
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
        for module in adapter.modules.values()
    )
    return [ModuleGroup(**{**asdict(group), "count": count}) for group, count in counts.most_common()]


def _where(key: str) -> str:
    """Return the part of the model that a module changes."""
    prefixes = ("lora_te", "text_encoder", "cond_stage_model", "text_encoders")
    return "text encoder" if any(prefix in key for prefix in prefixes) else "diffusion model"


def _alpha(module: Module) -> float | None:
    """Return the alpha of a module, or None if it has none or a malformed one."""
    tensor = module.parts.get("alpha")
    return float(tensor.values().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None


def _not_finite(file: File) -> list[str]:
    """Return a line for each tensor that has NaN or infinite values."""
    complaints = []
    for tensor in file.tensors.values():
        nan = infinite = 0
        for piece in tensor.pieces():
            nan += int(np.isnan(piece).sum())
            infinite += int(np.isinf(piece).sum())
        if nan or infinite:
            counts = " and ".join(f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n)
            complaints.append(f"tensor {tensor.name} has {counts} of {tensor.size} values")
    return complaints


def _base(base: str) -> tuple[BaseWeights, Mapping[str, tuple[int, ...]]]:
    """Return the weights of a base model, and the shapes of its tensors by name."""
    if base in tiny_models.BASES:
        known = tiny_models.BASES[base]
        shapes = {name: w.shape for weights in known.files.values() for name, w in weights.items()}
        return BaseWeights(shapes, {target: name for target, (_, name) in known.targets.items()}), shapes
    file = read_tensors(Path(base))
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    return BaseWeights(shapes), shapes


def _misfits(adapter: Layout, weights: BaseWeights, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return a line for each module that does not fit a weight of the base model."""
    complaints = []
    for key, module in adapter.modules.items():
        if module.kind == "incomplete":
            continue
        weight = weights.find(key)
        if weight is None:
            complaints.append(f"the base model has no weight for {key}")
            continue
        try:
            change = weight_change.weight_change(module)
        except AdapterUnknown as error:
            if not input_checks.problem(module):
                complaints.append(f"{key}: {error.what}")
            continue
        first, end = weight.rows(shapes[weight.name])
        wanted = (end - first, *shapes[weight.name][1:])
        if module.kind == "bias":
            wanted = wanted[:1]
        if math.prod(change.shape) != math.prod(wanted) or change.shape[0] != wanted[0]:
            complaints.append(
                f"{key} changes {list(change.shape)}, the base model has {list(wanted)} at {weight.name}"
            )
    return complaints
