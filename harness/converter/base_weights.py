"""Find the weights of a base model that a module of an adapter changes, for all naming conventions.

``harness.layers`` has the names of the layers. A weight of the base model and a module of an adapter belong together if
their names stand for the same layer of the same component. Either may be a piece of a fused weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from harness.layers import components, families
from harness.layers.components import CLIP_1, CLIP_2, SOME_CLIP
from harness.layers.layer import Place, underscored
from sdcpp.errors import AdapterUnknown

#: The ends of the names of tensors in base models, and the parameter of the layer that such a tensor is. Flux calls the
#: weight of a norm its scale, and open_clip gives the fused weight of attention another name.
_PARAMETERS = {
    "_norm.scale": ("_norm", "weight"),
    ".weight": ("", "weight"),
    ".bias": ("", "bias"),
    ".in_proj_weight": (".in_proj", "weight"),
    ".in_proj_bias": (".in_proj", "bias"),
}
#: The ends of the names of tensors by which some files multiply a weight that they store as F8.
_SCALES = (".scale_weight", ".weight_scale", ".weight_scale_2")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSlice:
    """The rows ``start`` to ``stop`` (exclusive) of the tensor ``name`` change by the rows of ΔW from ``first`` on."""

    name: str
    start: int
    stop: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of ΔW and the piece of a tensor that it changes.

    ``units`` are the relative heights of the pieces of the tensor ``name``, from top to bottom, and ``index`` is the
    changed one. ``bias`` is the name of the tensor of the bias, or "" if the base model has none.
    """

    name: str
    bias: str
    units: tuple[int, ...]
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeight:
    """The tensors of the base model that a module changes. ``pieces`` are in the order of the rows of ΔW."""

    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """The name of the first tensor."""
        return self.pieces[0].name

    def slices(
        self, shapes: Mapping[str, tuple[int, ...]], parameter: str = "weight"
    ) -> tuple[RowSlice, ...]:
        """Return the changed rows of the weights, or with ``parameter`` "bias" those of the biases.

        ``shapes`` are the shapes of the base model's tensors by name. Raises AdapterUnknown if the base model has no
        bias there, or if a fused weight cannot be divided into its pieces.
        """
        found: list[RowSlice] = []
        first = 0
        for piece in self.pieces:
            name = piece.name if parameter == "weight" else piece.bias
            if not name:
                raise AdapterUnknown(
                    "the base model has no bias in a layer whose bias the adapter changes",
                    piece.name,
                    "check that the adapter is for this model",
                )
            start, stop = _rows(name, shapes[name], piece)
            found.append(RowSlice(name=name, start=start, stop=stop, first=first))
            first += stop - start
        return tuple(found)

    def rows(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the first changed row and the end (exclusive) of the first tensor, which has this shape."""
        rows = [_rows(self.name, shape, piece) for piece in self.pieces if piece.name == self.name]
        return min(start for start, _ in rows), max(stop for _, stop in rows)


def _rows(name: str, shape: tuple[int, ...], piece: Piece) -> tuple[int, int]:
    """Return the rows of a piece in its tensor. Raises AdapterUnknown."""
    total = sum(piece.units)
    if not shape or shape[0] % total:
        raise AdapterUnknown(
            f"{name} of shape {list(shape)} cannot be divided into pieces of {list(piece.units)} parts",
            "base model",
            "check that the base model is complete",
        )
    unit = shape[0] // total
    start = sum(piece.units[: piece.index]) * unit
    return start, start + piece.units[piece.index] * unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A weight of the base model and its place in the layer."""

    name: str
    bias: str
    place: Place


class BaseWeights:
    """The weights of a base model, which can be found by the keys of an adapter's modules.

    ``names`` are the tensor names of the base model, or a mapping from these names to shapes. ``aliases`` maps further
    names of layers to tensor names.
    """

    def __init__(
        self,
        names: Iterable[str] | Mapping[str, tuple[int, ...]],
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._shapes = names if isinstance(names, Mapping) else dict.fromkeys(names, ())
        self._aliases = {underscored(alias): name for alias, name in (aliases or {}).items()}
        layers = {name: parsed for name in self._shapes if (parsed := _parameter(name))}
        width = next(
            (s[-1] for n, s in self._shapes.items() if s and n.endswith("token_embedding.weight")), 0
        )
        located = {name: components.of_model(layer, width) for name, (layer, _) in layers.items()}
        self.components = frozenset(each.component for each in located.values())
        self.family = families.of_model(
            each.rest for each in located.values() if each.component == components.DIFFUSION
        )
        biases = {layers[name][0]: name for name in layers if layers[name][1] == "bias"}
        self._stored: dict[tuple[str, str], list[_Stored]] = {}
        self._by_name: dict[str, _Stored] = {}
        for name, (layer, parameter) in layers.items():
            if parameter == "weight":
                at = located[name]
                place = families.place(at.component, at.rest, self.family).within(self._shapes[name])
                stored = _Stored(name=name, bias=biases.get(layer, ""), place=place)
                self._stored.setdefault((at.component, place.layer), []).append(stored)
                self._by_name[name] = stored

    def layers(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the names of the weights of each layer, by its component and its published name with underscores."""
        return {layer: tuple(each.name for each in stored) for layer, stored in self._stored.items()}

    def bias_of(self, name: str) -> str:
        """Return the name of the bias that belongs to a weight, or "" if there is none."""
        return self._by_name[name].bias

    def at(self, component: str, place: Place) -> BaseWeight | None:
        """Return the weight that has the rows of a place, or None if some of them are not stored."""
        stored = self._stored.get((component, place.layer), [])
        return _matching(place.within(self._shapes[stored[0].name]), stored) if stored else None

    def component(self, key: str) -> str:
        """Return the component of the model that the module ``key`` changes."""
        component = components.of_adapter(key).component
        if component == SOME_CLIP:
            present = [clip for clip in (CLIP_1, CLIP_2) if clip in self.components]
            return present[0] if len(present) == 1 else SOME_CLIP
        return component

    def find(self, key: str) -> BaseWeight | None:
        """Return the weight that the module ``key`` changes, or None if the base model has no such weight."""
        component, rest = self.component(key), components.of_adapter(key).rest
        if rest in self._aliases:
            return _whole(self._by_name[self._aliases[rest]])
        # Layers that the family of the model lacks may have the names of another one.
        for family in (self.family, *families.FAMILIES):
            place = families.place(component, rest, family)
            if self._stored.get((component, place.layer)):
                return self.at(component, place)
        return None

    def scaled(self, name: str) -> bool:
        """Return whether the base model stores a factor for the weight ``name`` in another tensor."""
        stem = name.removesuffix(".weight")
        return any(stem + end in self._shapes for end in _SCALES)


def _parameter(name: str) -> tuple[str, str] | None:
    """Return the name of the layer and "weight" or "bias", or None for any other tensor."""
    for end, (kept, parameter) in _PARAMETERS.items():
        if name.endswith(end):
            return name.removesuffix(end) + kept, parameter
    return None


def _whole(stored: _Stored) -> BaseWeight:
    """Return all rows of a stored weight."""
    return BaseWeight(pieces=(Piece(name=stored.name, bias=stored.bias, units=(1,), index=0),))


def _matching(place: Place, stored: list[_Stored]) -> BaseWeight | None:
    """Return the rows of a place in the stored weights of its layer, or None if some of them are not stored."""
    for each in stored:
        if (each.place.units, each.place.take) == (place.units, place.take):
            return _whole(each)
    return _assembled(place, stored)


def _assembled(place: Place, stored: list[_Stored]) -> BaseWeight | None:
    """Return the weight of a place whose rows are pieces of the stored weights, or None if some rows are not stored."""
    units = next((u for u in (place.units, *(each.place.units for each in stored)) if u), ())
    if any(each.place.units not in ((), units) for each in stored):
        return None
    owners: dict[int, Piece] = {}
    for each in stored:
        take = each.place.take or tuple(range(len(units)))
        heights = tuple(units[unit] for unit in take)
        for index, unit in enumerate(take):
            owners[unit] = Piece(name=each.name, bias=each.bias, units=heights, index=index)
    wanted = place.take or tuple(range(len(units)))
    if not wanted or any(unit not in owners for unit in wanted):
        return None
    return BaseWeight(pieces=tuple(owners[unit] for unit in wanted))


def changed_rows(shape: tuple[int, ...], units: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """Return the rows of each of the pieces of ΔW of this shape, or None if they are no whole rows.

    ``units`` are the relative heights of the pieces.
    """
    if not shape or shape[0] % sum(units):
        return None
    ends = list(accumulate(unit * (shape[0] // sum(units)) for unit in units))
    return list(zip([0, *ends], ends, strict=False))


def inner(shape: tuple[int, ...]) -> int:
    """Return the number of elements in a row of a weight, which may have the axes of a kernel."""
    return math.prod(shape[1:])
