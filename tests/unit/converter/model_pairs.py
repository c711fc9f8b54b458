"""Small models before and after a training, for the tests of extraction."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.converter.lora_files import Arrays, save
from tests.unit.converter.rewritten_tensors import F64, draw

QKV = "double_blocks.0.img_attn.qkv"
PROJ = "double_blocks.0.img_attn.proj"
NORM = "double_blocks.0.img_attn.norm.query_norm"


def flux(prefix: str = "") -> Arrays:
    """Return a few tensors of Flux.1 with their published names."""
    arrays = {
        f"{QKV}.weight": draw(96, 32),
        f"{QKV}.bias": draw(96),
        f"{PROJ}.weight": draw(32, 32),
        f"{PROJ}.bias": draw(32),
        f"{NORM}.scale": draw(8),
        "double_blocks.0.img_mod.lin.weight": draw(64, 32),
        "guidance_in.in_layer.weight": draw(32, 16),
    }
    return {prefix + name: value for name, value in arrays.items()}


def tuned(arrays: Arrays, *names: str, rank: int = 3, size: float = 0.05) -> Arrays:
    """Return tensors of which some were changed: matrices by a change of a rank, vectors anyhow."""
    new = dict(arrays)
    for name in names:
        shape = arrays[name].shape
        if len(shape) == 1:
            change = draw(*shape)
        else:
            change = (draw(shape[0], rank) @ draw(rank, int(np.prod(shape[1:])))).reshape(shape)
        new[name] = (arrays[name] + size * change).astype(arrays[name].dtype)
    return new


def difference(before: Arrays, after: Arrays, name: str) -> F64:
    """Return what was added to a tensor."""
    return after[name].astype(np.float64) - before[name].astype(np.float64)


def written(folder: Path, before: Arrays, after: Arrays, suffix: str = "safetensors") -> tuple[Path, Path]:
    """Write two models."""
    return save(folder / f"base.{suffix}", before), save(folder / f"tuned.{suffix}", after)
