"""Chroma Radiance: Chroma that computes pixels, so it needs no autoencoder.

A convolution reads the picture. The output of the blocks makes the weights of small networks, one for each patch.
Names and shapes follow the checkpoints of lodestones/Chroma1-Radiance. The tensor ``__x0__`` says that the model
predicts the picture and not the velocity, so the noise is not in the picture of one step.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.chroma import WIDTH, chroma
from harness.models.families.family import family_base
from harness.models.families.text_encoders import t5
from harness.models.weights import conv, linear, scale, vector

#: The sizes that the library fixes: those of a patch in pixels, and of the networks.
_PATCH, _HIDDEN, _RATIO, _BLOCKS, _FREQUENCIES = 16, 64, 4, 4, 8


def radiance(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    outer = ("img_in.", "final_layer.")
    weights = {name: weight for name, weight in chroma(gain=1.0).items() if not name.startswith(outer)}
    weights |= conv("img_in_patch", WIDTH, 3, _PATCH)
    weights |= linear("nerf_image_embedder.embedder.0", _HIDDEN, 3 + _FREQUENCIES**2)
    for number in range(_BLOCKS):
        weights |= linear(f"nerf_blocks.{number}.param_generator", 3 * _RATIO * _HIDDEN**2, WIDTH)
        weights |= scale(f"nerf_blocks.{number}.norm.scale", _HIDDEN)
    weights |= scale("nerf_final_layer_conv.norm.scale", _HIDDEN)
    weights |= conv("nerf_final_layer_conv.conv", 3, _HIDDEN, 3, gain=gain)
    return weights | vector("__x0__", 1)


CHROMA_RADIANCE = family_base(
    "chroma-radiance",
    radiance(gain=0.35),
    t5(),
    adapted=lambda name: name.startswith(("double_blocks.", "single_blocks.")),
    autoencoder=None,
    architecture="flux",
    full_merged_file=False,
    outer=("nerf_image_embedder.embedder.0", "nerf_blocks.0.param_generator"),
)
