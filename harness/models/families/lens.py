"""Lens, with gpt-oss of one layer as its text encoder, whose width and number of experts are constant.

Names and shapes follow those that the library reads (src/model/diffusion/lens.hpp in revision 2026-07).
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import GPT_OSS_WIDTH, gpt_oss
from harness.models.weights import linear, scale

#: The rotary embedding fixes the size of a head. With three heads the width of the MLPs can be quantised.
_HEAD, _HEADS = 64, 3
_WIDTH = _HEADS * _HEAD
_MLP = _WIDTH // 3 * 8
#: The picture does not depend on what the last block makes of the text, so there are two.
_BLOCKS = 2


def lens(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **linear("img_in", width, 128),
        **scale("txt_norm.0.weight", GPT_OSS_WIDTH),
        **linear("txt_in", width, GPT_OSS_WIDTH),
        **linear("time_text_embed.timestep_embedder.linear_1", width, 256),
        **linear("time_text_embed.timestep_embedder.linear_2", width, width),
        **linear("norm_out.linear", 2 * width, width),
        **linear("proj_out", 128, width, gain=gain),
    }
    for number in range(_BLOCKS):
        block = f"transformer_blocks.{number}"
        # In a GGUF file, whose order stays, the library takes Lens for Qwen-Image if img_mod is before these.
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            weights |= scale(f"{block}.attn.{name}.weight", _HEAD)
        for stream, output in (("img", "to_out.0"), ("txt", "to_add_out")):
            weights |= linear(f"{block}.{stream}_mod.1", 6 * width, width)
            weights |= linear(f"{block}.attn.{stream}_qkv", 3 * width, width, dtype="F32")
            weights |= linear(f"{block}.attn.{output}", width, width, dtype="F32")
            for part, out, inner in (("w1", _MLP, width), ("w2", width, _MLP), ("w3", _MLP, width)):
                weights |= linear(f"{block}.{stream}_mlp.{part}", out, inner, bias=False, dtype="F32")
            weights |= scale(f"{block}.{stream}_norm1.weight", width)
            weights |= scale(f"{block}.{stream}_norm2.weight", width)
    return weights


LENS = large_family_base(
    "lens",
    lens(gain=8.0),
    gpt_oss(),
    adapted=lambda name: name.startswith("transformer_blocks.") and "_mod." not in name,
    autoencoder=tiny_autoencoder(32),
    needs=("sizes-from-weights",),
)
