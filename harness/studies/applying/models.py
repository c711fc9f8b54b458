"""Base models of real size with random weights, and adapters of all their linear layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes
from harness.formats.write import Spec, as_bytes, write_container
from harness.models import architectures
from harness.models.base_model import Base, Weights
from harness.models.families.text_encoders import CLIP_G, clip
from harness.models.families.unet import SDXL, unet
from harness.models.large_base import LargeBase
from harness.models.tiny_models import FLUX_SMALL, SD1
from harness.models.weights import prefixed

_PREFIX = "model.diffusion_model."
#: The standard deviation of the values of both factors.
_STD = 0.01
#: Returns the blocks, uint8 [rows, bytes of a row], of float values [rows, row] in a type.
Quantise = Callable[[NDArray[np.float32], str], NDArray[np.uint8]]


def _halved(weights: Weights) -> Weights:
    """Return the tensors with matrices in F16, as published checkpoints have them."""
    return {
        name: replace(weight, dtype="F16") if len(weight.shape) > 1 else weight
        for name, weight in weights.items()
    }


def _flux_files(double: int, single: int) -> dict[str, Weights]:
    weights = architectures.flux(hidden=3072, double=double, single=single)
    text = prefixed("text_encoders.clip_l.transformer.", architectures.clip_l())
    return {"model": _halved(prefixed(_PREFIX, weights) | text), "taesd": FLUX_SMALL.files["taesd"]}


def _flux(name: str, double: int, single: int) -> Base:
    return Base(name=name, architecture="flux", files=_flux_files(double, single), targets={})


def _flux_q8() -> Base:
    """Return Flux with the linear layers of its blocks in Q8_0."""
    files = _flux_files(19, 38)
    quantised = {
        name: replace(weight, dtype="Q8_0") if "_blocks." in name and len(weight.shape) == 2 else weight
        for name, weight in files["model"].items()
    }
    return LargeBase(name="flux-Q8_0", architecture="flux", files={**files, "model": quantised}, targets={})


def _sdxl() -> Base:
    weights = unet(
        channels=320, widths=(1, 2, 4), depths=(0, 2, 10), context=2048, labels=2816, linear_projection=True
    )
    text = prefixed("cond_stage_model.transformer.", architectures.clip_l())
    text |= prefixed("cond_stage_model.1.transformer.", clip(CLIP_G))
    return Base(
        name="sdxl-F16",
        architecture="sdxl",
        files={"model": _halved(prefixed(_PREFIX, weights) | text), "taesd": SDXL.files["taesd"]},
        targets={},
    )


#: The models by name: Stable Diffusion 1 (860 million parameters in the UNet), SDXL (2.6 billion), Flux (12 billion,
#: also as a file of 13 GB in Q8_0), and a quarter of the blocks of Flux.
MODELS = {
    "sd1": replace(SD1, name="sd1-F16", files={role: _halved(w) for role, w in SD1.files.items()}),
    "sdxl": _sdxl(),
    "flux": _flux("flux-F16", 19, 38),
    "flux-q8": _flux_q8(),
    "flux-quarter": _flux("flux-quarter-F16", 5, 10),
}


def linear_layers(base: Base) -> dict[str, tuple[int, int]]:
    """Return the shape [outputs, inputs] of each linear layer in the blocks of the diffusion model, by its name."""
    return {
        name.removeprefix(_PREFIX).removesuffix(".weight"): (weight.shape[0], weight.shape[1])
        for name, weight in base.files["model"].items()
        if name.startswith(_PREFIX)
        and "block" in name
        and len(weight.shape) == 2
        and "emb_layers" not in name
    }


def write_adapter(
    path: Path, base: Base, *, rank: int, kind: str, quantise: Quantise, block: int, part: str = ""
) -> int:
    """Write an adapter of all linear layers with ``part`` in their names, and return its size in bytes.

    F16 is written as safetensors, another ``kind`` as GGUF, with F16 for rows that are not whole blocks of ``block``
    values. The names are those of ComfyUI.
    """
    random = np.random.default_rng(1)
    pool = random.standard_normal(1 << 22, dtype=np.float32) * np.float32(_STD)
    specs = []
    for name, (out, inner) in linear_layers(base).items():
        if part not in name:
            continue
        for suffix, shape in (("down", (rank, inner)), ("up", (out, rank))):
            used = kind if kind != "F16" and shape[1] % block == 0 else "F16"
            specs.append(Spec(name=f"diffusion_model.{name}.lora_{suffix}.weight", shape=shape, kind=used))

    def fill(spec: Spec, _: int | None) -> list[Bytes]:
        count, start = spec.shape[0] * spec.shape[1], int(random.integers(1 << 20))
        values = np.resize(pool[start:], count).reshape(spec.shape)
        return [as_bytes(values.astype(np.float16)) if spec.kind == "F16" else quantise(values, spec.kind)]

    write_container(path, "safetensors" if kind == "F16" else "gguf", specs, {}, fill)
    return path.stat().st_size
