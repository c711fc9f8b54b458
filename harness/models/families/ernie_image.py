"""Ernie-Image, with Ministral 3 as its text encoder.

Names and shapes follow the checkpoints of baidu/ERNIE-Image in ComfyUI's format.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import LLM_WIDTH, ministral
from harness.models.weights import conv, linear, scale

#: One attention head, whose size the library fixes.
_WIDTH = 128


def ernie_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **conv("x_embedder.proj", width, 128, 1),
        **linear("text_proj", width, LLM_WIDTH, bias=False),
        **linear("time_embedding.linear_1", width, width),
        **linear("time_embedding.linear_2", width, width),
        **linear("adaLN_modulation.1", 6 * width, width),
        **linear("final_norm.linear", 2 * width, width),
        **linear("final_linear", 128, width, gain=gain),
    }
    block = "layers.0"
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        weights |= linear(f"{block}.self_attention.{name}", width, width, bias=False, dtype="F32")
    for name in ("gate_proj", "up_proj", "linear_fc2"):
        weights |= linear(f"{block}.mlp.{name}", width, width, bias=False, dtype="F32")
    for name in ("adaLN_sa_ln", "adaLN_mlp_ln", "self_attention.norm_q", "self_attention.norm_k"):
        weights |= scale(f"{block}.{name}.weight", width)
    return weights


ERNIE_IMAGE = family_base(
    "ernie-image",
    ernie_image(gain=10.0),
    ministral(),
    adapted=lambda name: name.startswith("layers."),
    autoencoder=tiny_autoencoder(32),
)
