"""Chroma: Flux whose modulation comes from a guidance layer of constant sizes, with T5 as its text encoder.

Names and shapes follow the checkpoints of lodestones/Chroma.
"""

from __future__ import annotations

from harness.models import architectures
from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import T5_WIDTH, t5
from harness.models.weights import linear, scale

#: One attention head, whose size the library fixes.
WIDTH = 128
#: The sizes of the guidance layer, which the library fixes.
_GUIDANCE, _GUIDANCE_LAYERS, _GUIDANCE_INPUTS = 5120, 5, 64


def chroma(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    flux = architectures.flux(hidden=WIDTH, head=WIDTH, context=T5_WIDTH, gain=gain)
    weights = {
        name: weight
        for name, weight in flux.items()
        if "_in.in_layer" not in name and "_in.out_layer" not in name and "mod" not in name
    }
    guidance = "distilled_guidance_layer"
    weights |= linear(f"{guidance}.in_proj", _GUIDANCE, _GUIDANCE_INPUTS)
    weights |= linear(f"{guidance}.out_proj", WIDTH, _GUIDANCE)
    for number in range(_GUIDANCE_LAYERS):
        weights |= linear(f"{guidance}.layers.{number}.in_layer", _GUIDANCE, _GUIDANCE)
        weights |= linear(f"{guidance}.layers.{number}.out_layer", _GUIDANCE, _GUIDANCE)
        weights |= scale(f"{guidance}.norms.{number}.scale", _GUIDANCE)
    return weights


CHROMA = family_base(
    "chroma",
    chroma(gain=10.0),
    t5(),
    adapted=lambda name: "_blocks." in name,
    autoencoder=tiny_autoencoder(16),
    architecture="flux",
    full_merged_file=False,
    outer=("distilled_guidance_layer.in_proj", "distilled_guidance_layer.out_proj"),
)
