"""Adapters such as training leaves them, for measuring.

``python -m harness.studies.conversion.sample_adapter OUT --base flux-small`` writes one.

Training starts from a random ``down`` and a zero ``up`` and moves mostly ``up``, along few directions (Hu et al.,
https://arxiv.org/abs/2106.09685, section 7.2): ``down`` is random here and the singular values of ``up`` fall off
as exp(-decay * k / rank). With ``--modules`` and ``--width`` the file is for no model and as large as one likes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter.cast import cast
from harness.formats.tensor import Bytes, TensorHeader
from harness.formats.write import Spec, container_of, write_container
from harness.models import tiny_models
from harness.models.base_model import Base

Arrays = dict[str, NDArray[np.float32]]


def factors(  # noqa: PLR0917 - sizes, in the order of the formula
    out: int, inner: int, rank: int, decay: float, norm: float, seed: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``up`` [out, rank] and ``down`` [rank, inner] with ‖up @ down‖ = ``norm``."""
    draw = np.random.default_rng(seed)
    down = draw.standard_normal((rank, inner)) / math.sqrt(inner)
    left, _ = np.linalg.qr(draw.standard_normal((out, rank)))
    right, _ = np.linalg.qr(draw.standard_normal((rank, rank)))
    up = left * np.exp(-decay * np.arange(rank) / rank) @ right.T
    up *= norm / math.sqrt(float(((up.T @ up) * (down @ down.T)).sum()))
    return up.astype(np.float32), down.astype(np.float32)


def for_base(base: Base, rank: int, decay: float, strength: float = 1.0, seed: int = 7) -> Arrays:
    """Return a LoRA of kohya's names for a base model's targets; ‖ΔW‖ is ``strength`` times ‖W‖."""
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


def write(path: Path, arrays: Arrays, kind: str, copies: int = 1) -> None:
    """Write arrays as a type; with ``copies`` each is written so often, under names of its own."""
    specs = []
    for number in range(copies):
        for name, array in arrays.items():
            numbered = name if copies == 1 else name.replace("BLOCK", str(number))
            specs.append(Spec(name=numbered, shape=array.shape, kind=kind if array.ndim else "F32"))
    stored = {name: cast(array, kind if array.ndim else "F32") for name, array in arrays.items()}
    by_spec = {spec.name: raw for spec, raw in zip(specs, list(stored.values()) * copies, strict=True)}

    def fill(spec: Spec, _at: int | None) -> list[Bytes]:
        return [by_spec[spec.name]]

    metadata = {"ss_network_module": TensorHeader(type="STRING", value="networks.lora")}
    write_container(path, container_of(path), specs, metadata, fill)


def main(argv: list[str] | None = None) -> None:
    """Write the file that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--base", choices=sorted(tiny_models.BASES))
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--decay", type=float, default=4.0)
    parser.add_argument("--type", default="F32", choices=["F32", "F16", "BF16"])
    parser.add_argument("--modules", type=int, default=1, help="without --base: how many")
    parser.add_argument("--width", type=int, default=3072, help="without --base: of the weight, both ways")
    arguments = parser.parse_args(argv)
    if arguments.base:
        write(
            arguments.output,
            for_base(tiny_models.BASES[arguments.base], arguments.rank, arguments.decay),
            arguments.type,
        )
        return
    width = arguments.width
    up, down = factors(width, width, arguments.rank, arguments.decay, 1.0, (7,))
    key = "lora_unet_double_blocks_BLOCK_img_attn_proj"
    arrays = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": np.float32(16)}
    write(
        arguments.output,
        {name: np.asarray(array) for name, array in arrays.items()},
        arguments.type,
        arguments.modules,
    )


if __name__ == "__main__":
    main()
