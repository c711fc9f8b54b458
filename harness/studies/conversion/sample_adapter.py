"""Create LoRAs that resemble trained ones, for measurements. ``sdcpp study sample OUT`` writes one.

Training starts with a random ``down`` and an ``up`` of zeros, and mostly changes ``up``, in few directions (Hu et al.,
https://arxiv.org/abs/2106.09685, section 7.2). Here ``down`` is random, and singular value k of ``up`` is proportional
to exp(-decay * k / rank).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter.cast import cast
from harness.formats.tensor import Bytes, MetadataValue
from harness.formats.write import Spec, container_of, write_container
from harness.models.base_model import Base

Arrays = dict[str, NDArray[np.float32]]


def factors(  # noqa: PLR0917 - sizes, in the order of the formula
    out: int, inner: int, rank: int, decay: float, norm: float, seed: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``up`` [out, rank] and ``down`` [rank, inner], both float32, with ‖up @ down‖ = ``norm``."""
    generator = np.random.default_rng(seed)
    down = generator.standard_normal((rank, inner)) / math.sqrt(inner)
    left, _ = np.linalg.qr(generator.standard_normal((out, rank)))
    right, _ = np.linalg.qr(generator.standard_normal((rank, rank)))
    up = left * np.exp(-decay * np.arange(rank) / rank) @ right.T
    up *= norm / math.sqrt(float(((up.T @ up) * (down @ down.T)).sum()))
    return up.astype(np.float32), down.astype(np.float32)


def for_base(base: Base, rank: int, decay: float, strength: float = 1.0, seed: int = 7) -> Arrays:
    """Return a LoRA for the matrices among a base model's targets, by tensor name (kohya): float32.

    ‖ΔW‖ is ``strength`` times ‖W‖. Alpha is half the rank.
    """
    arrays: Arrays = {}
    for number, (target, (role, name)) in enumerate(base.targets.items()):
        weight = base.files[role][name]
        if len(weight.shape) != 2:
            continue
        out, inner = weight.shape
        norm = 2 * strength * weight.std * math.sqrt(out * inner)
        key = "lora_unet_" + target.replace(".", "_")
        up, down = factors(out, inner, rank, decay, norm, (seed, number))
        arrays |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        arrays[f"{key}.alpha"] = np.array(rank / 2, np.float32)
    return arrays


def for_width(width: int, rank: int, decay: float) -> Arrays:
    """Return one module of a LoRA that belongs to no model, by tensor name: float32.

    Its weight has ``width`` rows and columns, and ‖up @ down‖ = 1. ``write`` can write several copies of it; there the
    number of the copy replaces "BLOCK" in the names.
    """
    up, down = factors(width, width, rank, decay, 1.0, (7,))
    key = "lora_unet_double_blocks_BLOCK_img_attn_proj"
    return {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": np.array(16, np.float32),
    }


def write(path: Path, arrays: Arrays, kind: str, copies: int = 1) -> None:
    """Write a LoRA file with tensors of type ``kind``; scalars are F32. The suffix of ``path`` decides the container.

    ``copies`` is the number of copies of each array. With more than one, the number of the copy replaces "BLOCK" in the
    names.
    """
    specs = []
    for number in range(copies):
        for name, array in arrays.items():
            numbered = name if copies == 1 else name.replace("BLOCK", str(number))
            specs.append(Spec(name=numbered, shape=array.shape, kind=kind if array.ndim else "F32"))
    stored = {name: cast(array, kind if array.ndim else "F32") for name, array in arrays.items()}
    by_spec = {spec.name: raw for spec, raw in zip(specs, list(stored.values()) * copies, strict=True)}

    def fill(spec: Spec, _at: int | None) -> list[Bytes]:
        return [by_spec[spec.name]]

    metadata = {"ss_network_module": MetadataValue(type="STRING", value="networks.lora")}
    write_container(path, container_of(path), specs, metadata, fill)
