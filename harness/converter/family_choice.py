"""The families of models that an adapter may be for. Flux.1 and SD 3 have the same names of blocks in diffusers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.converter.modules import Layout, Module
from harness.layers import components, families, spelling
from harness.layers.components import DIFFUSION
from harness.layers.layer import Family, Name, Place


def candidates(adapter: Layout) -> tuple[Family, ...]:
    """Return the families that have the layers of an adapter, without those that give them the same meaning.

    There are several only if the names do not tell which of them is meant.
    """
    rests = _rests(adapter)
    best = families.with_most_layers(rests)
    marked = [family for family in best if family.has_mark(rests)] or best
    distinct: dict[tuple[Place | None, ...], Family] = {}
    for family in marked:
        distinct.setdefault(tuple(family.place(rest) for rest in rests), family)
    return tuple(distinct.values())


def fitting(adapter: Layout) -> list[Family]:
    """Return all families that have the most of the layers of an adapter, also those with the same meaning."""
    return families.with_most_layers(_rests(adapter))


def _rests(adapter: Layout) -> list[str]:
    """Return the names of the layers of the diffusion model, without prefixes."""
    located = [components.of_adapter(key) for key in adapter.modules]
    return [each.rest for each in located if each.component == DIFFUSION]


def unclear(found: Sequence[Family]) -> str:
    """Return what to do if an adapter may be for several families."""
    *others, last = (family.name for family in found)
    return f"its names fit {', '.join(others)} and {last}: add --base-model MODEL"


def shared_names(module: Module, found: Sequence[Family]) -> tuple[Name, ...]:
    """Return the names of a module's layer in diffusers, if several families understand them.

    A family whose layer is one of the pieces of another's understands the names of all pieces. There are no names if
    the families have different ones, or if one exchanges rows of the layer.
    """
    rest = components.of_adapter(module.key).rest
    places = [family.place(rest) for family in found]
    every = [
        spelling.in_diffusers(family, place.layer)
        for family, place in zip(found, places, strict=True)
        if place is not None
    ]
    names = max(every, key=len, default=())
    texts = {name.text for name in names}
    known = all({name.text for name in each} <= texts for each in every)
    swapped = any(len(name.take) > 1 for each in every for name in each)
    return names if known and not swapped else ()
