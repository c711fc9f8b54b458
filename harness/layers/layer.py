"""A layer of a model, its names, and which rows of its weight a name stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Some rows of a layer's weight.

    ``layer`` is the name of the layer in the published checkpoint, with underscores in place of dots. ``units`` are the
    relative heights of the pieces of the weight, from top to bottom. ``take`` are the indices of the pieces that belong
    to the name, in the order of its own rows. Both are empty if the name stands for all rows in their order.

    If ``ratio`` is not 0, ``units`` and ``take`` hold only for a weight with ``ratio`` times as many rows as columns.
    """

    layer: str
    units: tuple[int, ...] = ()
    take: tuple[int, ...] = ()
    ratio: int = 0

    def within(self, shape: tuple[int, ...]) -> Place:
        """Return the place in a weight of this shape. Its ``ratio`` is 0."""
        if self.ratio and (len(shape) < 2 or shape[0] != self.ratio * math.prod(shape[1:])):
            return Place(layer=self.layer)
        return Place(layer=self.layer, units=self.units, take=self.take)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name of a layer. ``text`` may contain ``{n}``, a number, and ``{rest}``, any text. See ``Place``.

    ``by`` is the program whose name it is.
    """

    text: str
    units: tuple[int, ...] = ()
    take: tuple[int, ...] = ()
    ratio: int = 0
    by: str = "diffusers"


#: The names of each layer, by its name in the published checkpoint. The latter is not repeated in the names.
Layers = Mapping[str, tuple[Name, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """A family of models with the same names of layers.

    ``marks`` are layers in the published checkpoint or in diffusers that only this family has. ``rest`` is the pattern
    of what ``{rest}`` stands for in ``layers``, with underscores in place of dots.
    """

    name: str
    layers: Layers
    marks: tuple[str, ...] = ()
    rest: str = ".+"

    def place(self, name: str) -> Place | None:
        """Return the rows that a name without the prefix of its component stands for, or None if it is unknown."""
        bare = underscored(name)
        for pattern, layer, known in self._patterns.get(_word(bare), ()):
            match = pattern.fullmatch(bare)
            if match is not None:
                return Place(
                    layer=layer.format(**match.groupdict()),
                    units=known.units,
                    take=known.take,
                    ratio=known.ratio,
                )
        return None

    def has_mark(self, names: Iterable[str]) -> bool:
        """Return whether one of the names, without prefixes, is a layer that only this family has."""
        return any(pattern.fullmatch(name) for name in names for pattern in self._marks)

    @cached_property
    def _patterns(self) -> dict[str, list[tuple[re.Pattern[str], str, Name]]]:
        """The pattern of each name, the layer with placeholders, and the name, by the first word of the name."""
        found: dict[str, list[tuple[re.Pattern[str], str, Name]]] = {}
        for layer, names in self.layers.items():
            for name in (Name(text=layer), *names):
                entry = (_pattern(name.text, self.rest), underscored(layer), name)
                found.setdefault(_word(underscored(name.text)), []).append(entry)
        return found

    @cached_property
    def _marks(self) -> list[re.Pattern[str]]:
        return [_pattern(mark, ".+") for mark in self.marks]


def _word(name: str) -> str:
    """Return the first word of a name with underscores. No name begins with a placeholder."""
    return name.partition("_")[0]


def _pattern(text: str, rest: str) -> re.Pattern[str]:
    """Return the pattern of a name with placeholders, for names with underscores in place of dots."""
    escaped = re.escape(underscored(text)).replace(r"\{n\}", r"(?P<n>\d+)")
    return re.compile(escaped.replace(r"\{rest\}", f"(?P<rest>{rest})"))


def underscored(name: str) -> str:
    """Return a name with underscores in place of dots, as sd-scripts writes it."""
    return name.replace(".", "_")


def pieces(units: tuple[int, ...], *texts: str, by: str = "diffusers") -> tuple[Name, ...]:
    """Return the names of the pieces of a fused weight, from top to bottom. ``by`` is the program."""
    return tuple(Name(text=text, units=units, take=(index,), by=by) for index, text in enumerate(texts))


def swapped(text: str, ratio: int = 0) -> Name:
    """Return the name of a weight whose two halves are exchanged under this name; ``Place`` explains ``ratio``."""
    return Name(text=text, units=(1, 1), take=(1, 0), ratio=ratio)


def plain(*texts: str, by: str = "diffusers") -> tuple[Name, ...]:
    """Return names that stand for all rows. ``by`` is the program."""
    return tuple(Name(text=text, by=by) for text in texts)
