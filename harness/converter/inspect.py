"""Summarise an adapter file, and check whether it fits a base model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.converter import contents, input_checks, model_family, weight_change
from harness.converter.base_weights import BaseWeights
from harness.converter.fitting import fit
from harness.converter.model_files import SHARD
from harness.converter.modules import Layout, Module, layout_of, scheme
from harness.converter.unsupported_kinds import UnsupportedKind, unsupported
from harness.formats.read import read_tensors
from harness.formats.tensor import File
from harness.layers import components
from harness.models import tiny_models
from harness.text import listed, plural
from sdcpp.errors import AdapterUnknown, TypeUnavailable
from sdcpp.waiting_line import Progress, unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleGroup:
    """A group of modules with the same properties. ``count`` is their number.

    ``where`` is the component, such as "diffusion model" or "text encoder 1". ``types`` are the types of the factors,
    separated by slashes. ``alpha_source`` is the part of the metadata that declares alpha, or "" if alpha is a tensor
    or missing.
    """

    count: int
    kind: str
    where: str
    rank: int | None
    alpha: float | None
    types: str
    convolution: bool
    dora: bool
    alpha_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSummary:
    """The summary of a file.

    ``bytes`` is the size of the file and ``bits`` the average number of bits for each element. ``complaints`` has one
    line for each problem of the file, ``notes`` one for each thing that is worth knowing. ``base`` is the base model
    that the file was checked against, or "". ``conclusion`` is the answer in one line.
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
    notes: Sequence[str] = ()
    base: str = ""
    conclusion: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the summary as values that JSON supports."""
        return {**asdict(self), "path": self.path.name}


def inspect(path: Path, base: str | None = None, progress: Progress = unseen) -> AdapterSummary:
    """Return the summary of an adapter file. ``progress`` is called with the number of bytes read and their total.

    With ``base`` the summary also has the problems with that base model: the path of a model file, or the name of a
    base model in ``harness.models.tiny_models``. All values are read to find NaN and infinity. Raises the errors of
    ``read_tensors``.
    """
    file = read_tensors(path)
    adapter = layout_of(file)
    complaints = contents.problems(file, adapter.modules)
    conclusion = complaints[0] if complaints else ""
    if not adapter.modules:
        adapter = replace(adapter, other_tensors=())
    adapter = _without(adapter, unsupported(file.tensors.values()))
    complaints += [f"tensor {t.name} belongs to no adapter" for t in adapter.other_tensors]
    problems = {key: input_checks.problem(module) for key, module in adapter.modules.items()}
    complaints += [problem for problem in problems.values() if problem]
    if adapter.modules:
        complaints += _not_finite(file, progress)
    notes = _notes(adapter)
    if shard := SHARD.fullmatch(path.name):
        notes.append(f"this is file {int(shard[2])} of {int(shard[3])}: join them into one for a LoRA")
    if base is not None and adapter.modules:
        sound = {key: module for key, module in adapter.modules.items() if not problems[key]}
        weights, shapes = _base(base)
        other_family = model_family.mismatch(adapter, shapes)
        fitted = fit(replace(adapter, modules=sound), weights, shapes)
        complaints += fitted.problems
        if other_family and fitted.problems:
            conclusion = conclusion or other_family
            complaints.insert(0, other_family)
        if fitted.elsewhere:
            keys = listed(fitted.elsewhere, 3)
            count = plural(len(fitted.elsewhere), "module")
            notes.append(f"{count} for parts of the model that the base lacks: {keys}")
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
        notes=notes,
        base=base or "",
        conclusion=conclusion or _conclusion(adapter, complaints, base),
    )


def _without(adapter: Layout, kinds: Sequence[UnsupportedKind]) -> Layout:
    """Return an adapter without the modules and tensors of kinds that are not supported."""
    keys = {key for kind in kinds for key in kind.keys}
    names = {name for kind in kinds for name in kind.tensors}
    modules = {key: module for key, module in adapter.modules.items() if key not in keys}
    others = tuple(tensor for tensor in adapter.other_tensors if tensor.name not in names)
    return Layout(modules=modules, other_tensors=others)


def _conclusion(adapter: Layout, complaints: Sequence[str], base: str | None) -> str:
    """Return what an adapter is, whether it has problems, and whether it fits a base model, in a few words."""
    kinds = Counter(_KINDS.get(module.kind, "an adapter") for module in adapter.modules.values())
    dora = any(module.dora for module in adapter.modules.values())
    kind = "a DoRA" if dora else kinds.most_common(1)[0][0]
    families = model_family.of_adapter(adapter)
    what = f"{kind} for {' or '.join(families)}" if families else kind
    if complaints:
        return f"{what}: {plural(len(complaints), 'problem')}"
    return f"{what}: no problems found" + (f"; it fits {base}" if base else "")


#: The names of the kinds of modules in a conclusion. Other kinds are called adapters.
_KINDS = {"lora": "a LoRA", "tucker": "a LoRA", "loha": "a LoHa", "lokr": "a LoKr"}


def require_fit(path: Path, base: str, progress: Progress = unseen) -> None:
    """Raise AdapterUnknown if ``inspect`` finds a problem of a file or of its fit to a base model."""
    complaints = inspect(path, base, progress).complaints
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise AdapterUnknown(complaints[0] + more, path, "sdcpp lora inspect lists all problems")


def _groups(adapter: Layout) -> list[ModuleGroup]:
    """Return the groups of modules, largest first."""
    counts = Counter(
        ModuleGroup(
            count=0,
            kind=module.kind,
            where=components.of_adapter(module.key).component,
            rank=module.rank,
            alpha=_alpha(module),
            types="/".join(
                dict.fromkeys(t.kind for n, t in module.parts.items() if n not in ("alpha", "scale"))
            ),
            convolution=module.convolution,
            dora=module.dora,
            alpha_source=_alpha_source(module),
        )
        for module in adapter.modules.values()
    )
    return [ModuleGroup(**{**asdict(group), "count": count}) for group, count in counts.most_common()]


def _alpha(module: Module) -> float | None:
    """Return the alpha of a module, or None if it has none or a malformed one."""
    tensor = module.parts.get("alpha")
    if tensor is None:
        return module.declared.alpha if _alpha_source(module) and module.declared else None
    return float(tensor.values().reshape(-1)[0]) if tensor.size == 1 else None


def _alpha_source(module: Module) -> str:
    """Return the part of the metadata that declares the alpha of a module, or "" if it does not or is not used."""
    declared = module.declared
    unused = declared is None or bool(declared.problem) or bool({"alpha", "scale"} & set(module.parts))
    return "" if unused or declared is None else declared.source + (", rslora" if declared.rslora else "")


def _notes(adapter: Layout) -> list[str]:
    """Return a line for each thing that is worth knowing about the modules and is no problem."""
    notes = []
    unused = [
        k for k, m in adapter.modules.items() if "alpha" in m.parts and not weight_change.alpha_is_used(m)
    ]
    if unused:
        notes.append(
            f"alpha of {plural(len(unused), 'module')} has no effect, because no factor is a product: "
            f"{listed(unused, 3)}"
        )
    replaced = [key for key, module in adapter.modules.items() if module.kind == "replaced"]
    if replaced:
        notes.append(f"{plural(len(replaced), 'layer')} replaced, not changed: {listed(replaced, 3)}")
    return notes


def _not_finite(file: File, progress: Progress) -> list[str]:
    """Return a line for each tensor that has NaN or infinite values, or whose type cannot be decoded."""
    complaints = []
    done, total = 0, sum(tensor.nbytes for tensor in file.tensors.values())
    for tensor in file.tensors.values():
        nan = infinite = 0
        done += tensor.nbytes
        try:
            for piece in tensor.pieces():
                nan += int(np.isnan(piece).sum())
                infinite += int(np.isinf(piece).sum())
        except TypeUnavailable as error:
            complaints.append(f"tensor {tensor.name}: {error.what}: {error.subject}")
        if nan or infinite:
            counts = " and ".join(f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n)
            complaints.append(f"tensor {tensor.name} has {counts} of {tensor.size} values")
        progress(done, total)
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
