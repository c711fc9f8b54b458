"""Merge adapters into a base model: W + multiplier * ΔW, computed in float64 and rounded once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import weight_change
from harness.converter.base_weights import BaseWeight, BaseWeights
from harness.converter.cast import cast
from harness.converter.convert import Conversion, check, check_finite, metadata_for, write
from harness.converter.modules import Module, layout
from harness.converter.plan import PLAIN, TensorPlan, plan
from harness.formats.read import read_tensors
from harness.formats.tensor import FLOATS, Bytes, Tensor, TensorRows, decoded
from harness.formats.write import container_of
from harness.quantising.finite import finite
from harness.quantising.quantiser import Quantiser
from harness.quantising.type_info import TypeInfo
from sdcpp.errors import AdapterUnknown, FileInvalid, TypeUnavailable

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedAdapter:
    """An adapter file and its multiplier."""

    path: Path
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """The change that a module makes to a tensor of the base model."""

    module: Module
    weight: BaseWeight
    multiplier: float


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
) -> Conversion:
    """Merge adapters into the file ``base`` and write the result to the file ``target``.

    ``wanted`` are the types in order of preference (see ``plan``). Without them every tensor keeps its type.

    Raises AdapterUnknown if a module does not fit the base model or is a DoRA, TypeUnavailable if a changed weight has
    a type that ``quantiser`` cannot make, and the errors of ``convert``.
    """
    container = container_of(target)
    file = read_tensors(base)
    changes = _changes(file.tensors, adapters)
    # A changed weight that keeps its quantised type must be quantised again.
    quantises = any(name not in PLAIN for name in (*wanted, *(file.tensors[name].kind for name in changes)))
    types: Mapping[str, TypeInfo] = quantiser.types() if quantiser is not None and quantises else {}
    plans = plan(list(file.tensors.values()), container, wanted, types)
    computed = {}
    for index, planned in enumerate(plans):
        name = planned.tensor.name
        if name in changes:
            plans[index] = _requantised(planned, types)
            computed[name] = partial(_merged, plans[index], changes[name], quantiser)
    inputs = [base, *(adapter.path for adapter in adapters)]
    metadata = metadata_for(file, container, plans)
    metadata.pop("adapter.type", None)
    write(target, container, plans, metadata, quantiser, inputs=inputs, only_finite=False, computed=computed)
    return Conversion(
        source=base, target=target, plans=plans, before=base.stat().st_size, after=target.stat().st_size
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


def _changes(tensors: Mapping[str, Tensor], adapters: Sequence[WeightedAdapter]) -> dict[str, list[_Change]]:
    """Return the changes that all adapters make to the base model's ``tensors``, by name. Raises AdapterUnknown."""
    weights = BaseWeights(tensors)
    changes: dict[str, list[_Change]] = {}
    for each in adapters:
        adapter = read_tensors(each.path)
        check(adapter)
        for module in layout(adapter.tensors.values()).modules.values():
            weight = weights.find(module.key)
            if weight is None:
                raise AdapterUnknown(
                    f"the base model has no weight for {module.key}",
                    each.path,
                    "check that the adapter is for this model",
                )
            if module.dora:
                raise AdapterUnknown(
                    f"{module.key} is a DoRA, which this command cannot merge",
                    each.path,
                    "let the library apply it",
                )
            if module.kind != "bias":
                _add(changes, tensors, _Change(module=module, weight=weight, multiplier=each.multiplier))
            if "diff_b" in module.parts:
                part = Module(key=module.key, parts={"diff_b": module.parts["diff_b"]}, kind="bias")
                bias = BaseWeight(name=weight.name.removesuffix(".weight") + ".bias")
                _add(changes, tensors, _Change(module=part, weight=bias, multiplier=each.multiplier))
    return changes


def _add(changes: dict[str, list[_Change]], tensors: Mapping[str, Tensor], change: _Change) -> None:
    """Add a change to ``changes``. Raises AdapterUnknown if it does not fit its tensor."""
    name = change.weight.name
    if name not in tensors:
        raise AdapterUnknown(
            f"the base model has no {name}", change.module.key, "check that the adapter is for this model"
        )
    shape, value = tensors[name].shape, weight_change.weight_change(change.module)
    first, end = change.weight.rows(shape)
    wanted = [end - first, *shape[1:]]
    if value.shape[0] != wanted[0] or math.prod(value.shape) != math.prod(wanted):
        raise AdapterUnknown(
            f"{change.module.key} changes {list(value.shape)}, the base model has {wanted} at {name}",
            next(iter(change.module.parts.values())).path,
            "check that the adapter is for this model",
        )
    changes.setdefault(name, []).append(change)


def _sum(tensor: Tensor, changes: Sequence[_Change]) -> F64:
    """Return W + Σ multiplier * ΔW as a matrix [out, inner], where inner is the product of the other axes."""
    total = tensor.values().astype(np.float64).reshape(tensor.shape[0], -1)
    for change in changes:
        first, end = change.weight.rows(tensor.shape)
        total[first:end] += change.multiplier * weight_change.rows(
            weight_change.weight_change(change.module), 0, end - first
        )
    return total


def _merged(planned: TensorPlan, changes: Sequence[_Change], quantiser: Quantiser | None) -> Bytes:
    """Return the bytes of a changed tensor. Raises FileInvalid if a value does not fit the type."""
    total = _sum(planned.tensor, changes)
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
