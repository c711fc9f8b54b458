"""SeFi-Image, which is Flux.2 klein with latents of semantic channels too, with Qwen3-VL as its text encoder.

Names and shapes follow those that the library reads (src/model/diffusion/sefi_image.hpp and flux.hpp in revision
2026-07). Its sampler moves the semantic channels ahead of the others, so each has an embedding of its own timestep.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.family import family_base
from harness.models.families.flux2 import WIDTH, flux2
from harness.models.families.text_encoders import qwen3
from harness.models.families.whole_autoencoders import flux2_autoencoder
from harness.models.weights import linear

#: The channels of a patch of the picture, and the semantic ones, which the autoencoder does not see.
_CHANNELS, _SEMANTIC = 128, 16


def sefi_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    weights = flux2(gain=gain, channels=_CHANNELS + _SEMANTIC)
    for name in ("time_in.in_layer", "time_in.out_layer"):
        del weights[f"{name}.weight"]
    for part in ("semantic", "texture"):
        weights |= linear(f"dual_time_embed.{part}_embedder.linear_1", WIDTH // 2, 256, bias=False)
        weights |= linear(f"dual_time_embed.{part}_embedder.linear_2", WIDTH // 2, WIDTH // 2, bias=False)
    return weights


SEFI_IMAGE = family_base(
    "sefi-image",
    sefi_image(gain=10.0),
    qwen3(),
    adapted=lambda name: "_blocks." in name,
    autoencoder=flux2_autoencoder(),
    autoencoder_role="vae",
    outer=tuple(
        f"dual_time_embed.{part}_embedder.linear_{number}"
        for part in ("semantic", "texture")
        for number in (1, 2)
    ),
)
