"""Boogu-Image, with the language part of Qwen3-VL as its text encoder.

Names and shapes follow those that the library reads (src/model/diffusion/boogu.hpp in revision 2026-07).
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import LLM_WIDTH, qwen3
from harness.models.weights import linear, scale, vector

#: One attention head. It has three equal axes, each of an even size, so the width is a multiple of 6; a multiple of 32
#: can be quantised. The library rounds the width of the MLPs up to a multiple of 256.
_WIDTH, _MLP = 96, 512
_DOUBLE = "double_stream_layers.0"
#: The blocks of one stream: the prefixes of attention and MLP, and whether the timestep modulates the block.
_SINGLE = {
    "single_stream_layers.0": True,
    "noise_refiner.0": True,
    "ref_image_refiner.0": True,
    "context_refiner.0": False,
}


def boogu_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **linear("x_embedder", width, 64),
        **linear("ref_image_patch_embedder", width, 64),
        **vector("image_index_embedding", 5, width),
        **scale("time_caption_embed.caption_embedder.0.weight", LLM_WIDTH),
        **linear("time_caption_embed.caption_embedder.1", width, LLM_WIDTH),
        **linear("time_caption_embed.timestep_embedder.linear_1", width, 256),
        **linear("time_caption_embed.timestep_embedder.linear_2", width, width),
        **linear("norm_out.linear_1", width, width),
        **linear("norm_out.linear_2", 64, width, gain=gain),
    }
    for block, modulated in _SINGLE.items():
        weights |= _attention(f"{block}.attn") | _mlp(f"{block}.feed_forward")
        weights |= _modulation(f"{block}.norm1") if modulated else scale(f"{block}.norm1.weight", width)
        for name in ("norm2", "ffn_norm1", "ffn_norm2"):
            weights |= scale(f"{block}.{name}.weight", width)
    weights |= _attention(f"{_DOUBLE}.img_self_attn")
    weights |= {
        name: weight
        for name, weight in _attention(f"{_DOUBLE}.img_instruct_attn").items()
        if not name.endswith(("to_q.weight", "to_k.weight", "to_v.weight"))
    }
    for stream in ("img", "instruct"):
        weights |= _mlp(f"{_DOUBLE}.{stream}_feed_forward")
        for name in ("to_q", "to_k", "to_v", "out"):
            layer = f"{_DOUBLE}.img_instruct_attn.processor.{stream}_{name}"
            weights |= linear(layer, width, width, bias=False, dtype="F32")
        for number in (1, 2, 3) if stream == "img" else (1, 2):
            weights |= _modulation(f"{_DOUBLE}.{stream}_norm{number}")
        for name in ("attn_norm", "ffn_norm1", "ffn_norm2"):
            weights |= scale(f"{_DOUBLE}.{stream}_{name}.weight", width)
    return weights | scale(f"{_DOUBLE}.img_self_attn_norm.weight", width)


def _attention(name: str) -> Weights:
    weights: Weights = {}
    for layer in ("to_q", "to_k", "to_v", "to_out.0"):
        weights |= linear(f"{name}.{layer}", _WIDTH, _WIDTH, bias=False, dtype="F32")
    return weights | scale(f"{name}.norm_q.weight", _WIDTH) | scale(f"{name}.norm_k.weight", _WIDTH)


def _mlp(name: str) -> Weights:
    return {
        **linear(f"{name}.linear_1", _MLP, _WIDTH, bias=False, dtype="F32"),
        **linear(f"{name}.linear_2", _WIDTH, _MLP, bias=False, dtype="F32"),
        **linear(f"{name}.linear_3", _MLP, _WIDTH, bias=False, dtype="F32"),
    }


def _modulation(name: str) -> Weights:
    return linear(f"{name}.linear", 4 * _WIDTH, _WIDTH) | scale(f"{name}.norm.weight", _WIDTH)


#: No picture here has a reference picture, so adapters do not change the blocks for it.
BOOGU_IMAGE = family_base(
    "boogu-image",
    boogu_image(gain=10.0),
    qwen3(),
    adapted=lambda name: (
        name.startswith(("single_stream_layers.", "noise_refiner.", _DOUBLE)) and ".linear." not in name
    ),
    autoencoder=tiny_autoencoder(16),
    edits=True,
)
