"""What is tried: cases, and the shots that they need.

A *shot* is one picture to be made; a *case* is one question, answered by comparing the picture of its own shot
with those of reference shots. Cases share references, and each shot is run once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from harness.adapters import merged_base
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import AnyFile, Use
from harness.models.base_model import Base

#: In the order in which the report shows them.
MODES = ("immediately", "at_runtime", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: a base model, possibly with adapters merged into it, and what is generated with it.

    ``merged`` are the adapters whose stored values are merged into the base in numpy, for a reference; ``rounded``
    says that the sums are stored in the type of the base's weights (see ``overlay.make``).
    ``sequence`` lists the adapters of each generation in one context; the last picture counts.
    """

    base: Base
    mode: str
    merged: tuple[Use[AdapterFile], ...] = ()
    rounded: bool = False
    sequence: tuple[tuple[Use[AnyFile], ...], ...] = ((),)

    @property
    def name(self) -> str:
        """A readable identity: equal for shots that make the same picture."""
        words = [self.base.name, self.mode]
        if self.merged:
            words.append(f"merged-{merged_base.digest(self.merged)[:12]}{'-rounded' if self.rounded else ''}")
        for uses in self.sequence:
            words.append("+".join(f"{use.file.name}@{use.multiplier:g}" for use in uses) or "none")
        return "/".join(words)

    @property
    def fresh(self) -> bool:
        """Whether a context of its own is needed: adding an adapter to weights and taking it away rounds them."""
        return self.mode != "at_runtime" and any(self.sequence)

    def request(self, seed: int) -> dict[str, Any]:
        """Return the worker's request for this shot; the files it names exist afterwards."""
        base = self.base
        files = {role: str(path) for role, path in base.make().items()}
        if self.merged:
            files |= {
                role: str(path)
                for role, path in merged_base.make(base, self.merged, rounded=self.rounded).items()
            }
        uses = [use for generation in self.sequence for use in generation]
        for use in uses:
            use.file.make()
        folder = uses[0].file.folder if uses else base.folder
        return {
            "files": files,
            "mode": self.mode,
            "lora_dir": str(folder),
            "fresh": self.fresh,
            "sequence": [[[str(use.file.path), use.multiplier] for use in g] for g in self.sequence],
            "generation": {**base.generation, "seed": seed},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """A bound on the effect error, and why it is what it is."""

    bound: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to a library.

    ``without`` is the picture without an adapter, ``wanted`` the one that the adapter should lead to;
    ``equal`` is a shot whose picture must be the same to the byte; ``source`` is the wanted picture of the float
    adapter that a quantised one was made from, by which the loss is told. Errors are relative to what ``scale``
    differs from ``without``: the wanted picture, unless that is no different.
    """

    name: str
    shot: Shot
    without: Shot
    dimensions: Mapping[str, str]
    wanted: Shot | None = None
    tolerance: Tolerance | None = None
    equal: Shot | None = None
    source: Shot | None = None
    scale: Shot | None = None

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All the shots that judging this case needs."""
        return tuple(
            s for s in (self.shot, self.without, self.wanted, self.equal, self.source, self.scale) if s
        )


class AnyCase(Protocol):
    """What every case has, whatever it is judged by."""

    @property
    def name(self) -> str:
        """Its name: with the base model and the mode it is unique."""

    @property
    def shot(self) -> Shot:
        """Its own shot."""

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All the shots that judging it needs."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """What is varied; "mode" and "base" are always there."""


A = TypeVar("A", bound=AnyCase)


def select(cases: Iterable[A], patterns: Sequence[str], where: Mapping[str, str] | None = None) -> list[A]:
    """Return the cases whose name or ``name@mode`` fits one of the patterns and whose dimensions fit ``where``.

    All are shell wildcards; without patterns every name fits.
    """

    def fits(case: A) -> bool:
        names = (case.name, f"{case.name}@{case.dimensions['mode']}")
        named = not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
        return named and all(fnmatchcase(case.dimensions.get(key, ""), p) for key, p in (where or {}).items())

    return [case for case in cases if fits(case)]


def plan_digest(parts: Iterable[object]) -> str:
    """Return a digest that two runs share when they make the same pictures with the same builds."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def unique_shots(cases: Iterable[AnyCase]) -> list[Shot]:
    """Return each shot once, those that share a context next to each other."""
    shots = {shot.name: shot for case in cases for shot in case.shots}
    return sorted(shots.values(), key=lambda s: (s.base.name, s.mode, bool(s.merged), s.fresh, s.name))


#: Every picture starts from this noise.
SEED = 42
