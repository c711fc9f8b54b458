"""Group the modules of an adapter by the layers that they change, and return the change of any rows of a layer.

A layer may be one fused weight or several pieces. A change of its rows is put together from the modules that an adapter
has, or cut out of them, without an error: factors become block-diagonal, and rows of factors are selected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.converter import model_family, weight_change
from harness.converter.base_weights import changed_rows
from harness.converter.modules import Layout, Module
from harness.converter.weight_change import Dense, LowRank, Product, WeightChange
from harness.layers import components, families
from harness.layers.components import CLIP_1, SOME_CLIP
from harness.layers.layer import Family, Name, Place
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """The modules that change one layer, and the place of each of them in the layer.

    ``layer`` is the published name with underscores in place of dots, and ``family`` that of the diffusion model.
    """

    component: str
    layer: str
    family: Family | None
    modules: tuple[Module, ...]
    places: tuple[Place, ...]

    def units(self, name: Name) -> tuple[int, ...]:
        """Return the relative heights of the pieces of the layer, or (1,) if neither a module nor ``name`` is one."""
        return next((units for units in (name.units, *(place.units for place in self.places)) if units), (1,))

    def touching(self, name: Name) -> list[tuple[Module, tuple[int, ...]]]:
        """Return the modules that change rows of ``name``, with the pieces of the layer that each stands for."""
        every = tuple(range(len(self.units(name))))
        return [
            (module, place.take or every)
            for module, place in zip(self.modules, self.places, strict=True)
            if set(place.take or every) & set(name.take or every)
        ]

    def exact(self, name: Name) -> Module | None:
        """Return the module that alone changes the rows of ``name``, and these in their order, or None."""
        touching = self.touching(name)
        wanted = name.take or tuple(range(len(self.units(name))))
        return touching[0][0] if len(touching) == 1 and touching[0][1] == wanted else None

    def changing(self, parameter: str) -> LayerGroup | None:
        """Return the modules that add to the "weight" or to the "bias" as a group, or None if there are none."""
        pairs = [
            (module, place)
            for module, place in zip(self.modules, self.places, strict=True)
            if _changes(module, parameter)
        ]
        if not pairs:
            return None
        return replace(self, modules=tuple(m for m, _ in pairs), places=tuple(p for _, p in pairs))


def _changes(module: Module, parameter: str) -> bool:
    if parameter == "bias":
        return bool({"diff_b", "up_bias"} & set(module.parts))
    return module.kind not in ("bias", "replaced")


def groups(adapter: Layout, family: Family | None) -> list[LayerGroup]:
    """Return the groups of an adapter's modules, in the order of their first modules.

    ``family`` is that of the diffusion model, or None if the tables of layers lack it. Raises AdapterUnknown.
    """
    located = {key: components.of_adapter(key) for key in adapter.modules}
    found: dict[tuple[str, str], tuple[list[Module], list[Place]]] = {}
    for key, module in adapter.modules.items():
        component = CLIP_1 if located[key].component == SOME_CLIP else located[key].component
        place = families.place(component, located[key].rest, family).within(weight_shape(module))
        modules, places = found.setdefault((component, place.layer), ([], []))
        modules.append(module)
        places.append(place)
    return [
        LayerGroup(
            component=component, layer=layer, family=family, modules=tuple(modules), places=tuple(places)
        )
        for (component, layer), (modules, places) in found.items()
    ]


def is_sdxl(adapter: Layout) -> bool:
    """Return whether an adapter is for SDXL."""
    return model_family.of_adapter(adapter) == (model_family.SDXL,)


def weight_shape(module: Module) -> tuple[int, ...]:
    """Return the shape of the weight, or of the bias, that a module changes. Only shapes are read.

    It is () if a factor lacks an axis.
    """
    try:
        return _weight_shape(module)
    except IndexError:
        return ()


def _weight_shape(module: Module) -> tuple[int, ...]:
    parts = {name: tensor.shape for name, tensor in module.parts.items()}
    if "up" in parts and "down" in parts:
        return (parts["up"][0], *parts["down"][1:2], *parts.get("mid", parts["down"])[2:])
    if "hada_w1_a" in parts and "hada_w1_b" in parts:
        if "hada_t1" in parts:
            return (parts["hada_w1_a"][1], parts["hada_w1_b"][1], *parts["hada_t1"][2:])
        return (parts["hada_w1_a"][0], parts["hada_w1_b"][1])
    if module.kind == "lokr":
        return _shape_of_lokr(parts)
    return next(
        (parts[part] for part in ("diff", "diff_b", "up_bias", "new_weight", "new_bias") if part in parts), ()
    )


def _shape_of_lokr(parts: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of the Kronecker product of two matrices, each of which may be stored as factors."""
    factors = []
    for number in (1, 2):
        a, b = parts.get(f"lokr_w{number}_a", ()), parts.get(f"lokr_w{number}_b", ())
        if f"lokr_w{number}" in parts:
            factors.append(parts[f"lokr_w{number}"])
        elif number == 2 and "lokr_t2" in parts:
            factors.append((a[1], b[1], *parts["lokr_t2"][2:]))
        else:
            factors.append((a[0], *b[1:]))
    first, second = factors
    return (first[0] * second[0], first[1] * second[1], *second[2:])


def row_change(
    group: LayerGroup,
    name: Name,
    parameter: str,
    change: Callable[[Module, str], WeightChange],
) -> WeightChange | None:
    """Return what a group adds to the rows that a name of its layer stands for, in their order.

    ``parameter`` is "weight" or "bias", and ``change`` returns what a module adds to it. Rows that no module changes
    are zero. Returns None if no module changes any of the rows. Raises AdapterUnknown if modules do not fit together.
    """
    own = group.changing(parameter)
    if own is None:
        return None
    units = group.units(name)
    wanted = name.take or tuple(range(len(units)))
    changes = [change(module, parameter) for module in own.modules]
    heights = {_unit(each, place, units) for each, place in zip(changes, own.places, strict=True)}
    if len(heights) > 1 or len({math.prod(each.shape[1:]) for each in changes}) > 1:
        raise AdapterUnknown(
            "the modules of a layer have different widths", own.modules[0].key, "check the file"
        )
    height = heights.pop()
    ends = np.cumsum([0, *(units[unit] * height for unit in wanted)])
    parts: list[tuple[Rows, WeightChange]] = []
    taken: set[int] = set()
    for each, place in zip(changes, own.places, strict=True):
        take = place.take or tuple(range(len(units)))
        if taken & set(take):
            raise AdapterUnknown("two modules change the same rows", own.modules[0].key, "remove one of them")
        taken |= set(take)
        slices = changed_rows(each.shape, tuple(units[unit] for unit in take)) or []
        pairs = [(index, wanted.index(unit)) for index, unit in enumerate(take) if unit in wanted]
        if pairs:
            source = np.concatenate([np.arange(*slices[index]) for index, _ in pairs])
            target = np.concatenate([np.arange(ends[at], ends[at + 1]) for _, at in pairs])
            parts.append((target, _selected(each, source)))
    return _combined(parts, int(ends[-1])) if parts else None


def _unit(change: WeightChange, place: Place, units: tuple[int, ...]) -> int:
    """Return the number of rows of a unit of a layer. Raises AdapterUnknown if the rows are no whole units."""
    if place.units not in ((), units):
        raise AdapterUnknown(
            "the modules of a layer divide it in different ways", place.layer, "check the file"
        )
    total = sum(units[unit] for unit in place.take) if place.take else sum(units)
    if change.shape[0] % total:
        raise AdapterUnknown(
            f"{change.shape[0]} rows cannot be divided into {total} equal parts",
            place.layer,
            "check the file",
        )
    return change.shape[0] // total


def _selected(change: WeightChange, rows: Rows) -> WeightChange:
    """Return some rows of a change, in this order."""
    if np.array_equal(rows, np.arange(change.shape[0])):
        return change
    shape = (len(rows), *change.shape[1:])
    if isinstance(change, LowRank):
        return LowRank(left=change.left[rows], right=change.right, shape=shape)
    if isinstance(change, Product):
        return Product(a=_rows_of(change.a, rows), b=_rows_of(change.b, rows), shape=shape)
    return Dense(value=dense(change)[rows].reshape(shape), shape=shape)


def _rows_of(factor: LowRank, rows: Rows) -> LowRank:
    return LowRank(left=factor.left[rows], right=factor.right, shape=(len(rows), *factor.shape[1:]))


def dense(change: WeightChange) -> F64:
    """Return a change as a matrix [out, inner]."""
    return weight_change.rows(change, 0, change.shape[0])


def _combined(parts: Sequence[tuple[Rows, WeightChange]], height: int) -> WeightChange:
    """Return the change with ``height`` rows that has each of ``parts`` in its rows and zeros elsewhere."""
    rows, first = parts[0]
    if len(parts) == 1 and np.array_equal(rows, np.arange(height)):
        return first
    shape = (height, *first.shape[1:])
    changes = [change for _, change in parts]
    low = [change for change in changes if isinstance(change, LowRank)]
    if len(low) == len(parts):
        return _stacked([rows for rows, _ in parts], low, shape)
    products = [change for change in changes if isinstance(change, Product)]
    if len(products) == len(parts):
        places = [rows for rows, _ in parts]
        return Product(
            a=_stacked(places, [each.a for each in products], shape),
            b=_stacked(places, [each.b for each in products], shape),
            shape=shape,
        )
    total = np.zeros((height, math.prod(first.shape[1:])))
    for rows, change in parts:
        total[rows] = dense(change)
    return Dense(value=total.reshape(shape), shape=shape)


def _stacked(rows: Sequence[Rows], changes: Sequence[LowRank], shape: tuple[int, ...]) -> LowRank:
    """Return factors whose product has the product of each of ``changes`` in its rows.

    Equal second factors, as in the pieces of a fused LoRA, are stored once. Others make the first one block-diagonal.
    """
    if all(np.array_equal(changes[0].right, change.right) for change in changes[1:]):
        left = np.zeros((shape[0], changes[0].left.shape[1]))
        for own, change in zip(rows, changes, strict=True):
            left[own] = change.left
        return LowRank(left=left, right=changes[0].right, shape=shape)
    left = np.zeros((shape[0], sum(change.left.shape[1] for change in changes)))
    column = 0
    for own, change in zip(rows, changes, strict=True):
        end = column + change.left.shape[1]
        left[own, column:end] = change.left
        column = end
    return LowRank(left=left, right=np.concatenate([change.right for change in changes]), shape=shape)
