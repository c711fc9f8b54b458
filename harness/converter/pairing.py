"""Pair the modules of two adapter files by the layers that they change, across naming conventions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.converter import layer_state
from harness.converter.base_weights import changed_rows
from harness.converter.layer_state import LayerState
from harness.converter.modules import Layout, Module
from harness.layers import components, families
from harness.layers.layer import Place
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The modules of two files that change one layer. Each file has one of them, several pieces, or none."""

    a: tuple[Module, ...]
    b: tuple[Module, ...]
    places: tuple[Place, ...] = ()

    @property
    def same_key(self) -> bool:
        """Whether both files have one module of the same name."""
        return len(self.a) == len(self.b) == 1 and self.a[0].key == self.b[0].key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The modules of two files that change one layer, and the places of both."""

    a: list[Module]
    b: list[Module]
    places: list[Place]


def pairs(a: Layout, b: Layout) -> list[Pair]:
    """Return the pairs of all modules.

    Modules of the same name belong together, and come first. The others are paired by the layer that
    ``harness.layers`` finds for them.
    """
    found = [Pair(a=(module,), b=(b.modules[key],)) for key, module in a.modules.items() if key in b.modules]
    if len(found) == len(a.modules) == len(b.modules):
        return found
    family = families.of_adapter(_diffusion_names((*a.modules, *b.modules)))
    groups: dict[tuple[str, str], _Group] = {}
    for one, other, is_a in ((a, b, True), (b, a, False)):
        for key, module in one.modules.items():
            if key in other.modules:
                continue
            named = components.of_adapter(key)
            place = families.place(named.component, named.rest, family)
            group = groups.setdefault((named.component, place.layer), _Group(a=[], b=[], places=[]))
            (group.a if is_a else group.b).append(module)
            # The modules of ``a`` come first, so the places have the order of the modules of ``a`` and then of ``b``.
            group.places.append(place)
    return found + [Pair(a=tuple(g.a), b=tuple(g.b), places=tuple(g.places)) for g in groups.values()]


def _diffusion_names(keys: Iterable[str]) -> list[str]:
    named = (components.of_adapter(key) for key in keys)
    return [each.rest for each in named if each.component == components.DIFFUSION]


def states(pair: Pair) -> list[tuple[LayerState | None, LayerState | None]]:
    """Return what the two files do to each piece of the layer of a pair whose modules have different names.

    Raises AdapterUnknown if the modules cannot be compared piece by piece.
    """
    modules = (*pair.a, *pair.b)
    if len(pair.a) == len(pair.b) == 1 and pair.places[0] == pair.places[1]:
        return [(layer_state.state(pair.a[0]), layer_state.state(pair.b[0]))]
    every = [(module, layer_state.state(module)) for module in modules]
    places = [
        place.within(next(iter(state.changes.values())).shape)
        for place, (_, state) in zip(pair.places, every, strict=True)
    ]
    units = next((place.units for place in places if place.units), (1,))
    sides: tuple[dict[int, LayerState], dict[int, LayerState]] = ({}, {})
    for index, ((module, state), place) in enumerate(zip(every, places, strict=True)):
        side = sides[0 if index < len(pair.a) else 1]
        _divide(side, module, state, place, units)
    return [(sides[0].get(unit), sides[1].get(unit)) for unit in range(len(units)) if _any(sides, unit)]


def _any(sides: Sequence[dict[int, LayerState]], unit: int) -> bool:
    return any(unit in side for side in sides)


def _divide(
    side: dict[int, LayerState], module: Module, state: LayerState, place: Place, units: tuple[int, ...]
) -> None:
    """Add the pieces of a module to ``side``, by their index in the layer. Raises AdapterUnknown."""
    take = place.take or tuple(range(len(units)))
    for change in state.changes.values():
        found = changed_rows(change.shape, tuple(units[unit] for unit in take))
        whole = len(units) == 1
        if place.units not in ((), units) or found is None or (not whole and not state.per_output):
            raise AdapterUnknown(
                f"the pieces of {list(change.shape)} cannot be compared with those of the other file",
                module.key,
                "compare two files with the same names",
            )
    for index, unit in enumerate(take):
        if unit in side:
            raise AdapterUnknown("two modules change the same rows", module.key, "remove one of them")
        total = next(iter(state.changes.values())).shape[0]
        start, stop = (changed_rows((total,), tuple(units[unit] for unit in take)) or [])[index]
        side[unit] = state if len(units) == 1 else layer_state.rows(state, start, stop, total)
