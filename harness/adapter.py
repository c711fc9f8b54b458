"""Adapters: low-rank changes of a base model's weights, made from a seed, and what they mean in numbers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.base import Base

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A recipe for a LoRA (Hu et al., https://arxiv.org/abs/2106.09685) of every target of a base model.

    ``alpha`` scales the change by alpha / rank; None leaves the tensor out, which means a scale of 1.
    ``strength`` is the Frobenius norm of ΔW over that of W, so that the effect does not depend on the rank.
    """

    name: str
    base: str
    rank: int = 32
    alpha: float | None = 16.0
    strength: float = 1.0
    seed: int = 7

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def tensors(self, base: Base) -> dict[str, F32]:
        """Return the adapter's tensors under kohya's names, float32, in PyTorch's order.

        ``lora_down`` is [rank, in], ``lora_up`` is [out, rank], ``alpha`` has one element. Names as written by
        https://github.com/kohya-ss/sd-scripts (networks/lora.py).
        """
        tensors: dict[str, F32] = {}
        for number, target in enumerate(base.targets):
            role, name = base.targets[target]
            weight = base.files[role][name]
            out, inner = weight.shape
            draw = np.random.default_rng((self.seed, number))
            down = draw.standard_normal((self.rank, inner)) / math.sqrt(inner)
            up = draw.standard_normal((out, self.rank))
            scale = 1.0 if self.alpha is None else self.alpha / self.rank
            wanted = self.strength * weight.std * math.sqrt(out * inner)
            # E||up @ down||² is out * rank for these factors.
            up *= wanted / (scale * math.sqrt(out * self.rank))
            key = "lora_unet_" + target.replace(".", "_")
            tensors[f"{key}.lora_down.weight"] = down.astype(np.float32)
            tensors[f"{key}.lora_up.weight"] = up.astype(np.float32)
            if self.alpha is not None:
                tensors[f"{key}.alpha"] = np.array([self.alpha], np.float32)
        return tensors


def merge(
    base: Base, tensors: Mapping[str, NDArray[np.floating]], multiplier: float = 1.0
) -> dict[tuple[str, str], F32]:
    """Return the base's weights with an adapter merged in: W + multiplier * (alpha / rank) * up @ down.

    The sum is formed in float64 and rounded once, to float32. Keys are (role, tensor name). The formula is
    that of the LoRA paper, section 4.1; nothing of stable-diffusion.cpp is used.
    """
    merged: dict[tuple[str, str], F32] = {}
    for target, place in base.targets.items():
        key = "lora_unet_" + target.replace(".", "_")
        if f"{key}.lora_up.weight" not in tensors:
            continue
        down = tensors[f"{key}.lora_down.weight"].astype(np.float64)
        up = tensors[f"{key}.lora_up.weight"].astype(np.float64)
        alpha = tensors.get(f"{key}.alpha")
        scale = 1.0 if alpha is None else float(alpha.reshape(-1)[0]) / down.shape[0]
        delta: F64 = multiplier * scale * (up @ down)
        merged[place] = (base.weight(target).astype(np.float64) + delta).astype(np.float32)
    return merged
