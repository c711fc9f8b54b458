"""MiniT2I, with T5 as its text encoder. It computes pixels, so it needs no autoencoder.

Names and shapes follow those that the library reads (src/model/diffusion/minit2i.hpp in revision 2026-07).
"""

from __future__ import annotations

from harness.models.base_model import Calibration, Weights
from harness.models.families.family import family_base
from harness.models.families.text_encoders import T5_WIDTH, t5
from harness.models.weights import conv, linear, prefixed, scale, vector

#: One attention head, whose size the library fixes. The MLP is 2 2/3 as wide, rounded up to a multiple of 8.
_WIDTH, _MLP, _PATCH = 64, 176, 16


def minit2i(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **conv("img_embedder.proj1", 32, 3, _PATCH, bias=False),
        **conv("img_embedder.proj2", width, 32, 1),
        **linear("txt_embedder", width, T5_WIDTH, bias=False),
        **linear("pooled_embedder", width, width, bias=False),
        **vector("mask_token", width),
        **linear("t_embedder.mlp.0", width, 256),
        **linear("t_embedder.mlp.2", width, width),
        **scale("final_layer.norm_final.weight", width),
        **linear("final_layer.linear", 3 * _PATCH * _PATCH, width, gain=gain),
    }
    for part in ("double_blocks.0.img_", "double_blocks.0.txt_", "txt_preamble_blocks.0."):
        weights |= linear(f"{part}qkv", 3 * width, width, dtype="F32")
        weights |= linear(f"{part}attn_proj", width, width, dtype="F32")
        for name, out, inner in (("w1", _MLP, width), ("w2", width, _MLP), ("w3", _MLP, width)):
            weights |= linear(f"{part}mlp.{name}", out, inner, bias=False, dtype="F32")
        for name in ("norm1", "norm2"):
            weights |= scale(f"{part}{name}.weight", width)
    for block in ("double_blocks.0", "txt_preamble_blocks.0"):
        for name in "qk":
            weights |= scale(f"{block}.{name}_norm.weight", width)
    return prefixed("model.net.", weights)


#: A third of the pixels is clipped, because the noise from which sampling starts is not scaled to the range of pixels.
MINIT2I = family_base(
    "minit2i",
    minit2i(gain=1.0),
    t5(),
    adapted=lambda name: "blocks." in name,
    autoencoder=None,
    calibration=Calibration(clipped=0.4),
)
