"""Recipes for adapters: their tensors, made from a seed, and the changes of weights that the tensors define."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.adapters.definitions import F64, decompose
from harness.adapters.diffusers_names import NamedRows
from harness.adapters.key_schemes import SCHEMES, Scheme, Target
from harness.adapters.kinds import KINDS, Kind
from harness.models.base_model import Base, TensorId, Weight

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """The recipe of an adapter for some targets of a base model.

    - ``base`` is the name of the base model.
    - ``kind`` is a key of ``harness.adapters.kinds.KINDS``.
    - ``scheme`` is a key of ``harness.adapters.key_schemes.SCHEMES``.
    - ``targets`` lists groups of the base model's targets.
    - ``rank`` is one rank for all targets, or several ranks that the targets, and the parts of a target, use in turn.
    - ``alpha`` scales the change by alpha / rank. With "rank" it equals the rank of each target. With None the file
      has no tensor for it, and the scale is 1.
    - ``form`` says how the scale is stored. "alpha": the tensor .alpha has alpha. "scale": the tensor .scale has
      alpha / rank. "flat": as "alpha", and the factors of a convolution are the matrices [rank, in * kh * kw] and
      [out, rank], whose rows are long enough to quantise. "kernels": as "alpha", and the factors of a linear layer have
      the shapes of a 1x1 convolution, [rank, in, 1, 1] and [out, rank, 1, 1].
    - ``alpha_type`` is the type of the tensor of alpha or scale: "F32", "F16" or "BF16". None means the type of the
      file's other tensors.
    - ``strength`` is the Frobenius norm of ΔW divided by that of W. The effect therefore does not depend on the rank.
    - ``seed`` is the seed of the random factors.
    - ``also`` lists further adapters whose tensors are in the same file.
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
    also: tuple[Adapter, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the recipe as hexadecimal text."""
        recipe = asdict(self)
        if not self.also:
            # Recipes without this field keep the digest that they had before it was added.
            del recipe["also"]
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

    def tensors(self, base: Base) -> dict[str, F32]:
        """Return the adapter's tensors by their names in the key scheme: float32, in PyTorch's order."""
        tensors: dict[str, F32] = {}
        for target_part in target_parts(self, base):
            tensors |= {name: array.astype(np.float32) for name, array in self._draw(target_part)}
        for other in self.also:
            tensors |= other.tensors(base)
        return tensors

    def types(self, base: Base) -> dict[str, str]:
        """Return the types of those tensors whose type does not depend on the file's type, by name."""
        types = {name: kind for other in self.also for name, kind in other.types(base).items()}
        if self.alpha is None or self.alpha_type is None or not KINDS[self.kind].ranked:
            return types
        return types | {part.key(self._scalar_name): self.alpha_type for part in target_parts(self, base)}

    @property
    def _scalar_name(self) -> str:
        """The scalar that is stored, "scale" or "alpha"."""
        return "scale" if self.form == "scale" else "alpha"

    def _draw(self, target_part: TargetPart) -> Iterator[tuple[str, F64]]:
        """Yield the name and the values of each tensor for a part of a target."""
        kind, number = target_part.kind, target_part.target_number
        turn = number + target_part.part_number
        rank = self.rank if isinstance(self.rank, int) else self.rank[turn % len(self.rank)]
        # For a target with one part the seed has no part number: its values must stay those of earlier versions.
        seed = (self.seed, number, target_part.part_number + 1) if target_part.split else (self.seed, number)
        shape, std = target_part.shape, target_part.weight.std
        drawn = kind.draw(np.random.default_rng(seed), shape, std, rank)
        alpha = float(rank) if isinstance(self.alpha, str) else self.alpha
        scale = 1.0 if alpha is None or kind.rank(drawn.factors) is None else alpha / rank
        norm = self.strength * std * math.sqrt(math.prod(shape))
        drawn.factors[drawn.scalable] *= norm / (scale * drawn.norm)
        vectors = target_part.scheme.vectors
        for factor, array in drawn.factors.items():
            rows = () if factor in vectors else array.shape[:1]
            if self.form == "kernels" and array.ndim == 2:
                array = array.reshape(*array.shape, 1, 1)  # noqa: PLW2901
            flat = self.form == "flat" or factor in vectors
            yield target_part.key(factor), array.reshape(*rows, -1) if flat else array
        if alpha is not None and kind.ranked:
            scalar = alpha / rank if self.form == "scale" else alpha
            yield target_part.key(self._scalar_name), np.array([scalar])


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPart:
    """A part of a target, with everything that is needed to create its tensors or to read them.

    ``tensor`` is the tensor that the adapter changes: the weight or its bias. ``weight`` is the weight in both cases.
    ``target_number`` is the number of the target in the adapter and ``part_number`` the number of the part in the
    target; both start at 0. ``split`` is true if the target has several parts.
    """

    kind: Kind
    scheme: Scheme
    tensor: TensorId
    weight: Weight
    group: str
    rows: NamedRows
    target_number: int
    part_number: int
    split: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of this part of the weight."""
        return (self.rows.stop - self.rows.start, *self.weight.shape[1:])

    def key(self, factor: str) -> str:
        """Return the name of the tensor that has a factor or a scalar; raises KeyError if the scheme has none."""
        return self.scheme.key(self.rows, self.group, factor)


def target_parts(adapter: Adapter, base: Base) -> Iterator[TargetPart]:
    """Yield the parts of the adapter's targets. Targets that its kind or its scheme does not support are left out."""
    kind, scheme = KINDS[adapter.kind], SCHEMES[adapter.scheme]
    targets = [(group, *item) for group in adapter.targets for item in base.group(group).items()]
    for number, (group, target, (role, name)) in enumerate(targets):
        weight = base.files[role][name]
        if kind.kernel and math.prod(weight.shape[2:]) == 1:
            continue
        changed_name = name.removesuffix("weight") + "bias" if kind.bias else name
        if changed_name not in base.files[role]:
            continue
        parts = scheme.parts(
            Target(architecture=base.architecture, group=group, name=target, shape=weight.shape, tensor=name)
        )
        for part_number, rows in enumerate(parts):
            yield TargetPart(
                kind=kind,
                scheme=scheme,
                tensor=(role, changed_name),
                weight=weight,
                group=group,
                rows=rows,
                target_number=number,
                part_number=part_number,
                split=rows.stop - rows.start < weight.shape[0],
            )


def changes(
    base: Base, tensors: Mapping[str, NDArray[np.floating]], multiplier: float, adapter: Adapter
) -> dict[TensorId, F64]:
    """Return the changes that an adapter's stored tensors make to the base model's tensors: float64, by tensor.

    A change is multiplier * (alpha / rank) * ΔW, and ``harness.adapters.definitions`` defines ΔW. A part of a target
    is not changed if ``tensors`` lacks one of its factors. DoRA replaces a weight. The paper defines DoRA for
    multiplier 1 only. For another multiplier the change is multiplied, as in ComfyUI (comfy/weight_adapter/base.py).
    """
    totals: dict[TensorId, F64] = {}
    for other in adapter.also:
        for tensor, change in changes(base, tensors, multiplier, other).items():
            totals[tensor] = totals[tensor] + change if tensor in totals else change
    for part in target_parts(adapter, base):
        factors = {
            factor: tensors[part.key(factor)].astype(np.float64)
            for factor in part.kind.factors
            if part.key(factor) in tensors
        }
        if len(factors) < len(part.kind.factors):
            continue
        shape = part.shape[:1] if part.kind.bias else part.shape
        delta = _scale(part, tensors, part.kind.rank(factors)) * part.kind.delta(factors, shape)
        rows = slice(part.rows.start, part.rows.stop)
        if "dora_scale" in factors:
            weight = base.values(part.tensor)[rows].astype(np.float64)
            # The magnitudes and the change have the adapter's order of rows.
            weight = np.roll(weight, weight.shape[0] // 2, axis=0) if part.rows.swapped else weight
            delta = decompose(weight, delta, factors["dora_scale"])
        if part.rows.swapped:
            delta = np.roll(delta, delta.shape[0] // 2, axis=0)
        role, name = part.tensor
        total = totals.setdefault(part.tensor, np.zeros(base.files[role][name].shape))
        total[rows] += multiplier * delta
    return totals


def _scale(part: TargetPart, tensors: Mapping[str, NDArray[np.floating]], rank: int | None) -> float:
    """Return the stored scale, or alpha / rank, or 1 if neither is stored or the kind has no rank."""
    if rank is None:
        return 1.0
    if "scale" in part.scheme.suffixes and part.key("scale") in tensors:
        return float(tensors[part.key("scale")].reshape(-1)[0])
    if not part.scheme.has_alpha or part.key("alpha") not in tensors:
        return 1.0
    return float(tensors[part.key("alpha")].reshape(-1)[0]) / rank
