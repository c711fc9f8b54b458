"""Test cases and the shots that they need.

A *shot* is one picture that the library makes. A *case* is one test: it compares the picture of its own shot with the
pictures of reference shots. Several cases may share a reference shot; each shot runs only once for each build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from harness.adapters import merged_base
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import AnyFile, Use
from harness.cases.settings import (
    USUAL_CONTEXT,
    USUAL_GENERATION,
    ContextSettings,
    GenerationSettings,
    described,
    init_image,
    reference_image,
)
from harness.cases.shot_request import ShotRequest
from harness.models.base_model import Base
from harness.records.pictures import Pixels
from harness.text import fits
from sdcpp.binding.api.interface import Lora

#: The apply modes, in the order of the report's columns.
MODES = ("immediately", "at_runtime", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: the base model, the apply mode and the adapters that it is made with.

    ``merged`` lists the adapters that numpy merges into the base model before the library loads it; a reference shot
    has them. If ``rounded`` is true, the merged weights are stored in the tensor type of the base model (see
    ``merged_base.make``).
    ``sequence`` lists the adapters of each generation. All generations run in one context, and the shot's picture is
    that of the last generation. ``generation`` and ``context`` say how the library is used.
    """

    base: Base
    mode: str
    merged: tuple[Use[AdapterFile], ...] = ()
    rounded: bool = False
    sequence: tuple[tuple[Use[AnyFile], ...], ...] = ((),)
    generation: GenerationSettings = USUAL_GENERATION
    context: ContextSettings = USUAL_CONTEXT

    @property
    def name(self) -> str:
        """A readable name. Two shots have the same name if and only if they make the same picture."""
        parts = [self.base.name, self.mode]
        if settings := described(self.generation, self.context):
            parts.append(settings)
        if self.merged:
            parts.append(f"merged-{merged_base.digest(self.merged)[:12]}{'-rounded' if self.rounded else ''}")
        for uses in self.sequence:
            parts.append("+".join(use.name for use in uses) or "none")
        return "/".join(parts)

    @property
    def fresh(self) -> bool:
        """Whether the shot needs a new context.

        Outside mode at_runtime the library adds an adapter to the weights and subtracts it again, which leaves rounding
        errors in the weights of that context. A context that frees its weights makes one picture only.
        """
        return self.context.free_params_immediately or (self.mode != "at_runtime" and any(self.sequence))

    def request(self, seed: int) -> ShotRequest:
        """Create the files that the shot needs and return the request for the worker."""
        base = self.base
        files = dict(base.make())
        if self.merged:
            files |= merged_base.make(base, self.merged, rounded=self.rounded)
        uses = [use for generation in self.sequence for use in generation]
        image = init_image(base.width, base.height) if self.generation.strength is not None else None
        edits = self.generation.ref_image or base.edits_only
        references = (reference_image(base.width, base.height),) if edits else ()
        for use in uses:
            use.file.make()
        return ShotRequest(
            files=files,
            mode=self.mode,
            lora_dir=uses[0].file.folder if uses else base.folder,
            fresh=self.fresh,
            sequence=tuple(
                tuple(
                    Lora(path=use.file.path, multiplier=use.multiplier, is_high_noise=use.is_high_noise)
                    for use in generation
                )
                for generation in self.sequence
            ),
            generation={**base.generation, "seed": seed, **self.generation.arguments},
            init_image=image,
            ref_images=references,
            flags=self.context.flags,
            contexts=self.context.contexts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The largest effect error with which a case passes, and the reason for that bound."""

    bound: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPicture:
    """A picture that is known before the run.

    ``digest`` is that of ``harness.records.pictures.digest``. If ``pixels`` is None, nothing else is known.
    """

    digest: str
    pixels: Pixels | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test: ``shot`` makes the picture that is judged, the other shots make the pictures to compare with.

    - ``without``: the picture without an adapter.
    - ``wanted``: the picture that the adapter should lead to, within ``tolerance``.
    - ``equal``: the case passes only if the picture equals that of this shot byte for byte.
    - ``source``: for a quantised adapter, the wanted picture of the float adapter that it was made from. The loss is
      measured against it.
    - ``scale``: the effect error is divided by the difference between this picture and ``without``. It is set where
      ``wanted`` equals ``without``; otherwise ``wanted`` is used.

    Two things take the place of ``wanted`` and ``equal``: a picture that is ``recorded``, or ``no_wanted``, the reason
    why the wanted picture is not known. A case that is ``missing`` something, such as a file, is not run; the text is
    the reason.

    ``name`` is unique among the cases of one base model and one mode. ``dimensions`` says what is varied, and always
    contains "base" and "mode".
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
    recorded: RecordedPicture | None = None
    no_wanted: str = ""
    missing: str = ""

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All shots that this case needs."""
        return tuple(
            s for s in (self.shot, self.without, self.wanted, self.equal, self.source, self.scale) if s
        )


class AnyCase(Protocol):
    """The attributes that all kinds of cases share."""

    @property
    def name(self) -> str:
        """The name, unique among the cases of one base model and one mode."""

    @property
    def shot(self) -> Shot:
        """The shot that is judged."""

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All shots that the case needs, references included."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """What is varied, as dimension and value. "mode" and "base" are always present."""


A = TypeVar("A", bound=AnyCase)


def select(cases: Iterable[A], patterns: Sequence[str], where: Iterable[tuple[str, str]] = ()) -> list[A]:
    """Return the cases whose name or ``name@mode`` matches a pattern and whose dimensions match ``where``.

    Patterns are shell wildcards. Without ``patterns`` every name matches. ``where`` has dimensions and patterns for
    their values; of the patterns for one dimension, one must match. A dimension that a case does not have counts as the
    empty string.
    """
    accepted, wanted = tuple(patterns), dict[str, tuple[str, ...]]()
    for dimension, pattern in where:
        wanted[dimension] = (*wanted.get(dimension, ()), pattern)

    def matches(case: A) -> bool:
        names = (case.name, f"{case.name}@{case.dimensions['mode']}")
        named = not accepted or any(fits(name, accepted) for name in names)
        return named and all(fits(case.dimensions.get(key, ""), values) for key, values in wanted.items())

    return [case for case in cases if matches(case)]


def plan_digest(parts: Iterable[object]) -> str:
    """Return the SHA-256 of the parts' text, in order. Runs with equal digests make the same pictures."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def unique_shots(cases: Iterable[AnyCase]) -> list[Shot]:
    """Return every shot of the cases once, sorted so that shots that share a context are adjacent.

    The contexts are in the order in which the cases need them.
    """
    shots = {shot.name: shot for case in cases for shot in case.shots}
    first: dict[tuple[str, str, str], int] = {}
    for shot in shots.values():
        first.setdefault(_context(shot), len(first))
    return sorted(shots.values(), key=lambda s: (first[_context(s)], bool(s.merged), s.fresh, s.name))


def _context(shot: Shot) -> tuple[str, str, str]:
    return shot.base.name, shot.mode, described(shot.context)


#: The seed of the noise that every picture starts from.
SEED = 42
