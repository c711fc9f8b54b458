"""Adapters put into a base model: W + multiplier * ΔW, formed in float64 and rounded once."""

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
    """An adapter's file and its multiplier."""

    path: Path
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What one module does to one tensor of the base."""

    module: Module
    place: BaseWeight
    multiplier: float


def parse_adapter_argument(text: str) -> WeightedAdapter:
    """Return "file@0.8" as a file and its multiplier; a file whose own name has an @ wins."""
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
    maker: Quantiser | None = None,
) -> Conversion:
    """Write ``base`` with adapters merged in as ``target``, in types of ``wanted`` (see ``plan``), else its own.

    Raises AdapterUnknown if an adapter has a module that the base has no place for, TypeUnavailable if a changed weight
    is stored in a type that ``maker`` cannot make, and what ``convert`` raises.
    """
    container = container_of(target)
    file = read_tensors(base)
    changes = _changes(file.tensors, adapters)
    needs = any(name not in PLAIN for name in wanted)
    # A base that is quantised already is made again from the sums.
    stored_types = {file.tensors[name].kind for name in changes if file.tensors[name].kind not in PLAIN}
    types: Mapping[str, TypeInfo] = maker.types() if maker is not None and (needs or stored_types) else {}
    plans = plan(list(file.tensors.values()), container, wanted, types)
    made = {}
    for place, planned in enumerate(plans):
        name = planned.tensor.name
        if name in changes:
            plans[place] = _quantised_again(planned, types)
            made[name] = partial(_made, plans[place], changes[name], maker)
    inputs = [base, *(adapter.path for adapter in adapters)]
    metadata = metadata_for(file, container, plans)
    metadata.pop("adapter.type", None)
    write(target, container, plans, metadata, maker, inputs=inputs, only_finite=False, made=made)
    return Conversion(
        source=base, target=target, plans=plans, before=base.stat().st_size, after=target.stat().st_size
    )


def _quantised_again(planned: TensorPlan, types: Mapping[str, TypeInfo]) -> TensorPlan:
    """Return the plan of a changed tensor: its blocks are quantised again, not copied. Raises TypeUnavailable."""
    if planned.info is not None or planned.kind in FLOATS:
        return planned
    info = types.get(planned.kind)
    if info is None:
        raise TypeUnavailable(
            f"the adapter changes {planned.tensor.name}, which cannot be quantised again",
            planned.kind,
            f"run sdcpp build first, or choose a --type of {', '.join((*PLAIN, *types))}",
        )
    return TensorPlan(tensor=planned.tensor, kind=planned.kind, why="as stored, made again", info=info)


def _changes(tensors: Mapping[str, Tensor], adapters: Sequence[WeightedAdapter]) -> dict[str, list[_Change]]:
    """Return what all modules of the adapters do to the base's ``tensors``, by tensor name. Raises AdapterUnknown."""
    places = BaseWeights(tensors)
    found: dict[str, list[_Change]] = {}
    for each in adapters:
        adapter = read_tensors(each.path)
        check(adapter)
        for module in layout(adapter.tensors.values()).modules.values():
            place = places.find(module.key)
            if place is None:
                raise AdapterUnknown(
                    f"the base has no place for {module.key}",
                    each.path,
                    "check that the adapter is for this model",
                )
            if module.dora:
                raise AdapterUnknown(
                    f"{module.key} is a DoRA, which is not merged here", each.path, "let the library apply it"
                )
            if module.kind != "bias":
                _add(
                    found,
                    place.name,
                    tensors,
                    _Change(module=module, place=place, multiplier=each.multiplier),
                )
            if "diff_b" in module.parts:
                bias = Module(key=module.key, parts={"diff_b": module.parts["diff_b"]}, kind="bias")
                spot = BaseWeight(name=place.name.removesuffix(".weight") + ".bias")
                _add(found, spot.name, tensors, _Change(module=bias, place=spot, multiplier=each.multiplier))
    return found


def _add(found: dict[str, list[_Change]], name: str, tensors: Mapping[str, Tensor], change: _Change) -> None:
    if name not in tensors:
        raise AdapterUnknown(
            f"the base has no {name}", change.module.key, "check that the adapter is for this model"
        )
    shape, value = tensors[name].shape, weight_change.weight_change(change.module)
    first, last = change.place.rows(shape)
    if value.shape[0] != last - first or math.prod(value.shape) != (last - first) * math.prod(shape[1:]):
        raise AdapterUnknown(
            f"{change.module.key} changes {list(value.shape)}, the base has {[last - first, *shape[1:]]} at {name}",
            next(iter(change.module.parts.values())).path,
            "check that the adapter is for this model",
        )
    found.setdefault(name, []).append(change)


def _sum(tensor: Tensor, changes: Sequence[_Change]) -> F64:
    """Return W + Σ multiplier * ΔW as a matrix [out, the rest]."""
    total = tensor.values().astype(np.float64).reshape(tensor.shape[0], -1)
    for change in changes:
        first, last = change.place.rows(tensor.shape)
        total[first:last] += change.multiplier * weight_change.rows(
            weight_change.weight_change(change.module), 0, last - first
        )
    return total


def _made(planned: TensorPlan, changes: Sequence[_Change], maker: Quantiser | None) -> Bytes:
    total = _sum(planned.tensor, changes)
    if planned.info is None:
        stored = cast(total, planned.kind)
        if finite(total) and not finite(decoded(stored, planned.kind)):
            raise FileInvalid(
                f"a merged value of {planned.tensor.name} is beyond what {planned.kind} holds",
                planned.tensor.path,
                "choose a wider --type, for example BF16",
            )
        return stored
    assert maker is not None  # noqa: S101 - its types were asked for
    values = total.reshape(-1, planned.tensor.row)
    check_finite(TensorRows(tensor=planned.tensor, start=0, count=len(values)), values)
    return maker.nearest(values, planned.kind).reshape(-1)
