"""Merge adapters into a base model: W + multiplier * ΔW, computed in float64 and rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_change, model_family, weight_change
from harness.converter.base_weights import BaseWeights
from harness.converter.cast import cast, overflows
from harness.converter.convert import Conversion, check, check_finite, metadata_for, write
from harness.converter.fitting import LayerChange, fit
from harness.converter.modules import layout_of
from harness.converter.plan import PLAIN, TensorPlan, plan
from harness.formats.read import read_tensors
from harness.formats.tensor import FLOATS, Bytes, File, Tensor, TensorRows, decoded
from harness.formats.write import container_of
from harness.quantising.finite import finite
from harness.quantising.quantiser import Quantiser
from harness.quantising.type_info import TypeInfo
from harness.text import listed
from sdcpp.errors import AdapterUnknown, FileInvalid, TypeUnavailable
from sdcpp.waiting_line import Progress, unseen

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedAdapter:
    """An adapter file and its multiplier."""

    path: Path
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighted:
    """A change and its multiplier."""

    change: LayerChange
    multiplier: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merging:
    """The changes of each tensor by name, and the modules for components that the base model's file does not have."""

    changes: dict[str, list[_Weighted]]
    skipped: list[str]


def parse_adapter_argument(text: str) -> WeightedAdapter:
    """Return the file and the multiplier of "file@0.8". If ``text`` is the name of a file, the multiplier is 1."""
    path, at, number = text.rpartition("@")
    if at and not Path(text).exists():
        try:
            return WeightedAdapter(path=Path(path), multiplier=float(number))
        except ValueError:
            pass
    return WeightedAdapter(path=Path(text))


def merge(
    base: Path,
    adapters: Sequence[WeightedAdapter],
    target: Path,
    wanted: Sequence[str] = (),
    quantiser: Quantiser | None = None,
    *,
    exact: bool = False,
    progress: Progress = unseen,
) -> Conversion:
    """Merge adapters into the file ``base`` and write the result to the file ``target``.

    ``wanted`` are the types in order of preference (see ``plan``). Without them every tensor keeps its type. With
    ``exact`` a changed tensor of a type coarser than F16 becomes F16, so that rounding does not hide a small change.
    ``progress`` is called with the number of bytes written and their total.

    Modules for a component that ``base`` does not have, such as a text encoder, are left out and named in the result.
    A module that replaces a weight does so with every multiplier but 0, as in src/flux/model.py and in ComfyUI.

    Raises AdapterUnknown if a tensor is not understood, if a module does not fit the base model, if two modules of a
    file change the same rows, or if no module is for ``base``. Raises TypeUnavailable if a changed weight has a type
    that ``quantiser`` cannot make, and the errors of ``convert``.
    """
    container = container_of(target)
    file = read_tensors(base)
    merging = _merging(file, adapters)
    changes = merging.changes
    # A changed weight that keeps its quantised type must be quantised again.
    kept = () if exact else tuple(file.tensors[name].kind for name in changes)
    quantises = any(name not in PLAIN for name in (*wanted, *kept))
    types: Mapping[str, TypeInfo] = quantiser.types() if quantiser is not None and quantises else {}
    plans = plan(list(file.tensors.values()), container, wanted, types)
    computed = {}
    for index, planned in enumerate(plans):
        name = planned.tensor.name
        if name in changes:
            plans[index] = _exact(planned) if exact else _requantised(planned, types)
            computed[name] = partial(_merged, plans[index], changes[name], file.tensors, quantiser)
    inputs = [base, *(adapter.path for adapter in adapters)]
    metadata = metadata_for(file, container, plans)
    metadata.pop("adapter.type", None)
    write(
        target,
        container,
        plans,
        metadata,
        quantiser,
        inputs=inputs,
        only_finite=False,
        computed=computed,
        progress=progress,
    )
    return Conversion(
        source=base,
        target=target,
        plans=plans,
        before=base.stat().st_size,
        after=target.stat().st_size,
        skipped=merging.skipped,
    )


def _requantised(planned: TensorPlan, types: Mapping[str, TypeInfo]) -> TensorPlan:
    """Return the plan of a changed tensor, in which blocks are quantised again, not copied. Raises TypeUnavailable."""
    if planned.info is not None or planned.kind in FLOATS:
        return planned
    info = types.get(planned.kind)
    if info is None:
        raise TypeUnavailable(
            f"the adapter changes {planned.tensor.name}, which cannot be quantised again",
            planned.kind,
            f"run sdcpp build first, or choose a --type of {', '.join((*PLAIN, *types))}",
        )
    return TensorPlan(tensor=planned.tensor, kind=planned.kind, why="type kept, quantised again", info=info)


def _exact(planned: TensorPlan) -> TensorPlan:
    """Return the plan of a changed tensor that is stored as F16 or, if that is too narrow, as F32."""
    if planned.kind in ("F64", "F32", "F16"):
        return planned
    kind = "F32" if overflows(planned.tensor) else "F16"
    return TensorPlan(tensor=planned.tensor, kind=kind, why="changed, so it is stored as a float")


def _merging(base: File, adapters: Sequence[WeightedAdapter]) -> _Merging:
    """Return the changes that all adapters make to the base model. Raises AdapterUnknown."""
    shapes = {name: tensor.shape for name, tensor in base.tensors.items()}
    weights = BaseWeights(shapes)
    merging = _Merging(changes={}, skipped=[])
    for each in adapters:
        adapter = read_tensors(each.path)
        check(adapter)
        found = layout_of(adapter)
        if found.other_tensors:
            names = [tensor.name for tensor in found.other_tensors]
            raise AdapterUnknown(
                f"it has tensors that this command does not understand: {listed(names, 10)}",
                each.path,
                "let a program apply it that knows them",
            )
        fitted = fit(found, weights, shapes)
        if fitted.problems:
            problem = model_family.mismatch(found, shapes) or listed(fitted.problems, 3)
            raise AdapterUnknown(problem, each.path, "check that the adapter is for this model")
        merging.skipped.extend(fitted.elsewhere)
        for change in fitted.changes:
            weighted = _Weighted(change=change, multiplier=each.multiplier)
            for name in dict.fromkeys(rows.name for rows in change.slices):
                merging.changes.setdefault(name, []).append(weighted)
    return merging


def _sum(tensor: Tensor, changes: Sequence[_Weighted], tensors: Mapping[str, Tensor]) -> F64:
    """Return W + Σ multiplier * ΔW as a matrix [out, inner], where inner is the product of the other axes."""
    total = _matrix(tensor)
    for each in sorted(changes, key=lambda weighted: weighted.change.replaces is None):
        change = each.change
        for rows in change.slices:
            if rows.name != tensor.name:
                continue
            first, last = rows.first, rows.first + rows.stop - rows.start
            if change.replaces is None:
                total[rows.start : rows.stop] += each.multiplier * _delta(change, first, last, tensors)
            elif each.multiplier:
                total[rows.start : rows.stop] = change.replaces[first:last]
    return total


def _delta(change: LayerChange, first: int, last: int, tensors: Mapping[str, Tensor]) -> F64:
    """Return the rows ``first`` to ``last`` (exclusive) of what a change adds with multiplier 1."""
    value = layer_change.changes(change.module)[change.parameter]
    if change.parameter != "weight" or not change.module.dora:
        return weight_change.rows(value, first, last)
    weight = np.concatenate([_matrix(tensors[rows.name])[rows.start : rows.stop] for rows in change.slices])
    shape = tensors[change.slices[0].name].shape
    delta = weight_change.rows(value, 0, len(weight))
    return layer_change.decomposed(change.module, weight, delta, shape[1])[first:last]


def _matrix(tensor: Tensor) -> F64:
    """Return the values of a weight as a new matrix [out, inner] in float64."""
    return tensor.values().astype(np.float64).reshape(tensor.shape[0], -1)


def _merged(
    planned: TensorPlan,
    changes: Sequence[_Weighted],
    tensors: Mapping[str, Tensor],
    quantiser: Quantiser | None,
) -> Bytes:
    """Return the bytes of a changed tensor. Raises FileInvalid if a value does not fit the type."""
    total = _sum(planned.tensor, changes, tensors)
    if planned.info is None:
        stored = cast(total, planned.kind)
        if finite(total) and not finite(decoded(stored, planned.kind)):
            raise FileInvalid(
                f"a merged value of {planned.tensor.name} is beyond the range of {planned.kind}",
                planned.tensor.path,
                "choose a wider --type, for example BF16",
            )
        return stored
    assert quantiser is not None  # noqa: S101 - it has the type of the plan
    values = total.reshape(-1, planned.tensor.row)
    check_finite(TensorRows(tensor=planned.tensor, start=0, count=len(values)), values)
    return quantiser.nearest(values, planned.kind).reshape(-1)
