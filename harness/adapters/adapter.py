"""Adapters: small changes of a base model's weights, made from a seed, and what they mean in numbers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.adapters.definitions import F64, decompose
from harness.adapters.key_schemes import SCHEMES, Part, Scheme, Target
from harness.adapters.kinds import KINDS, Kind
from harness.models.base_model import Base, TensorId, Weight

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A recipe for an adapter of some targets of a base model.

    ``kind`` is a key of ``harness.adapters.kinds.KINDS``, ``scheme`` one of
    ``harness.adapters.key_schemes.SCHEMES``, ``targets`` lists
    groups of the base's targets. Several ranks are dealt out to the targets in turn.

    ``alpha`` scales the change by alpha / rank; None leaves the tensor out, which means a scale of 1, and "rank" is
    the rank of each target. The ``form`` is "alpha": the tensor .alpha holds it; "scale": the tensor .scale holds
    alpha / rank; or "flat": as "alpha", and the factors of a convolution are matrices, [rank, in * kh * kw] and
    [out, rank], whose rows are long enough to quantise. ``alpha_type`` is the type of alpha or scale ("F32", "F16",
    "BF16"); None is that of the other floats of the file. ``strength`` is the Frobenius norm of ΔW over that of
    W, so that the effect does not depend on the rank.
    """

    name: str
    base: str
    rank: int | tuple[int, ...] = 32
    alpha: float | str | None = 16.0
    strength: float = 1.0
    seed: int = 7
    kind: str = "lora"
    scheme: str = "kohya"
    targets: tuple[str, ...] = ("linear",)
    form: str = "alpha"
    alpha_type: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def tensors(self, base: Base) -> dict[str, F32]:
        """Return the adapter's tensors under the names of its scheme, float32, in PyTorch's order."""
        tensors: dict[str, F32] = {}
        for spot in target_parts(self, base):
            tensors |= {name: array.astype(np.float32) for name, array in self._draw(spot)}
        return tensors

    def types(self, base: Base) -> dict[str, str]:
        """Return the types of the tensors that have one of their own, whatever that of the file is, by name."""
        if self.alpha is None or self.alpha_type is None or not KINDS[self.kind].ranked:
            return {}
        return {spot.key(self._scalar): self.alpha_type for spot in target_parts(self, base)}

    @property
    def _scalar(self) -> str:
        """What the factors' scale is stored as."""
        return "scale" if self.form == "scale" else "alpha"

    def _draw(self, spot: TargetPart) -> Iterator[tuple[str, F64]]:
        kind = spot.kind
        rank = self.rank if isinstance(self.rank, int) else self.rank[spot.number % len(self.rank)]
        # A weight with one part has the seed that it had before there were parts.
        seed = (self.seed, spot.number, spot.index + 1) if spot.split else (self.seed, spot.number)
        shape, std = spot.shape, spot.weight.std
        drawn = kind.draw(np.random.default_rng(seed), shape, std, rank)
        alpha = float(rank) if isinstance(self.alpha, str) else self.alpha
        scale = 1.0 if alpha is None or kind.rank(drawn.factors) is None else alpha / rank
        wanted = self.strength * std * math.sqrt(math.prod(shape))
        drawn.factors[drawn.grows] *= wanted / (scale * drawn.norm)
        for factor, array in drawn.factors.items():
            rows = () if factor in spot.scheme.vectors else array.shape[:1]
            flat = self.form == "flat" or factor in spot.scheme.vectors
            yield spot.key(factor), array.reshape(*rows, -1) if flat else array
        if alpha is not None and kind.ranked:
            yield spot.key(self._scalar), np.array([alpha / rank if self.form == "scale" else alpha])


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPart:
    """A part of a target with all that is needed to draw it or to read it back.

    ``place`` is what is changed, the weight or its bias; ``weight`` is the weight in either case. ``number`` counts
    the targets, ``index`` the parts of one; ``split`` says whether there are more.
    """

    kind: Kind
    scheme: Scheme
    place: TensorId
    weight: Weight
    group: str
    part: Part
    number: int
    index: int
    split: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the part of the weight."""
        return (self.part.stop - self.part.start, *self.weight.shape[1:])

    def key(self, factor: str) -> str:
        """Return the name of the tensor of a factor or scalar."""
        return self.scheme.key(self.part, self.group, factor)


def target_parts(adapter: Adapter, base: Base) -> Iterator[TargetPart]:
    """Return the parts of the targets that the adapter's kind is for and its scheme has names for."""
    kind, scheme = KINDS[adapter.kind], SCHEMES[adapter.scheme]
    targets = [(group, *item) for group in adapter.targets for item in base.group(group).items()]
    for number, (group, target, (role, name)) in enumerate(targets):
        weight = base.files[role][name]
        if kind.kernel and math.prod(weight.shape[2:]) == 1:
            continue
        place = role, name
        if kind.bias:
            place = role, name.removesuffix("weight") + "bias"
            if place[1] not in base.files[role]:
                continue
        parts = scheme.parts(
            Target(architecture=base.architecture, group=group, name=target, shape=weight.shape)
        )
        for index, part in enumerate(parts):
            yield TargetPart(
                kind=kind,
                scheme=scheme,
                place=place,
                weight=weight,
                group=group,
                part=part,
                number=number,
                index=index,
                split=part.stop - part.start < weight.shape[0],
            )


def changes(
    base: Base, tensors: Mapping[str, NDArray[np.floating]], multiplier: float, adapter: Adapter
) -> dict[TensorId, F64]:
    """Return what an adapter's stored tensors add to the base's tensors, float64, by (role, tensor name).

    That is multiplier * (alpha / rank) * ΔW, with ΔW as ``harness.adapters.definitions`` defines it. A part
    whose tensors are
    missing adds nothing. DoRA replaces a weight instead; a multiplier then leads that far from the old to the new
    one, as in ComfyUI (comfy/weight_adapter/base.py) - the paper knows only 1.
    """
    found: dict[TensorId, F64] = {}
    for spot in target_parts(adapter, base):
        factors = {
            factor: tensors[spot.key(factor)].astype(np.float64)
            for factor in spot.kind.factors
            if spot.key(factor) in tensors
        }
        if len(factors) < len(spot.kind.factors):
            continue
        shape = spot.shape[:1] if spot.kind.bias else spot.shape
        delta = _scale(spot, tensors, spot.kind.rank(factors)) * spot.kind.delta(factors, shape)
        rows = slice(spot.part.start, spot.part.stop)
        if "dora_scale" in factors:
            weight = base.values(spot.place)[rows].astype(np.float64)
            delta = decompose(weight, delta, factors["dora_scale"])
        whole = found.setdefault(spot.place, np.zeros(base.files[spot.place[0]][spot.place[1]].shape))
        whole[rows] += multiplier * delta
    return found


def _scale(spot: TargetPart, tensors: Mapping[str, NDArray[np.floating]], rank: int | None) -> float:
    if rank is None:
        return 1.0
    if "scale" in spot.scheme.suffixes and spot.key("scale") in tensors:
        return float(tensors[spot.key("scale")].reshape(-1)[0])
    if not spot.scheme.has_alpha or spot.key("alpha") not in tensors:
        return 1.0
    return float(tensors[spot.key("alpha")].reshape(-1)[0]) / rank
