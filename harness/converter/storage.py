"""The type in which the factors of plain LoRAs are stored together, and the scale that their alpha expresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.converter import weight_change
from harness.converter.modules import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The type of the factors of a plain pair, and the scale that alpha expresses. The rest of the scale is in them."""

    kind: str = "F32"
    scale: float = 1.0


#: The storage of factors that have no narrower type in common.
WIDE = Storage()


def storage(
    modules: Sequence[Module], *, folded: bool = False, multipliers: Sequence[float] | None = None
) -> Storage:
    """Return how the factors of plain LoRAs are stored together without rounding them to a narrower type.

    They keep F16 or BF16 if all of them have it, and if one alpha can express the scale, which counts ``multipliers``,
    one for each module. With ``folded`` there is no alpha, so the scale must be 1 or, for BF16, a power of two.
    """
    kinds = {tensor.kind for each in modules for part, tensor in each.parts.items() if part in ("up", "down")}
    multipliers = multipliers or [1.0] * len(modules)
    scales = {weight_change.scale(module) * by for module, by in zip(modules, multipliers, strict=True)}
    if any(module.kind != "lora" for module in modules) or len(kinds) != 1 or len(scales) != 1:
        return WIDE
    (kind,), (scale,) = kinds, scales
    if kind not in ("F16", "BF16") or not scale or not math.isfinite(scale):
        return WIDE
    if not folded:
        return Storage(kind=kind, scale=scale)
    exact = scale == 1 or (kind == "BF16" and math.frexp(scale)[0] == 0.5)
    return Storage(kind=kind) if exact else WIDE
