"""Ideogram 4, with one block and with the language part of Qwen3-VL as its text encoder; all widths are constant.

Names and shapes follow those that the library reads (src/model/diffusion/ideogram4.hpp in revision 2026-07).
"""

from __future__ import annotations

from harness.models.base_model import Demand, Weight, Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import qwen3
from harness.models.weights import linear, scale, vector

_WIDTH, _HEAD, _MLP, _MODULATION = 4608, 256, 12288, 512
#: The text embedding has the outputs of 13 layers of the text encoder. The last of them is that of the 36th layer, and
#: without such a layer the library takes the output of the last norm.
_TEXT_WIDTH, _TEXT_LAYERS, _USED_LAYERS = 4096, 35, 13
#: The mean of the scale of the norm after attention, so that adapters of one block change the picture enough.
_OUTPUT_SCALE = 4.0
#: The type of the layers that adapters do not change.
_STORED = "Q4_0"


def ideogram4(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    block, width, text = "layers.0", _WIDTH, _USED_LAYERS * _TEXT_WIDTH
    weights: Weights = {
        **linear("input_proj", width, 128),
        **scale("llm_cond_norm.weight", text),
        **linear("llm_cond_proj", width, text, dtype=_STORED),
        **linear("t_embedding.mlp_in", width, width, dtype=_STORED),
        **linear("t_embedding.mlp_out", width, width, dtype=_STORED),
        **linear("adaln_proj", _MODULATION, width),
        **vector("embed_image_indicator.weight", 2, width),
        **linear(f"{block}.attention.qkv", 3 * width, width, bias=False, dtype="F32"),
        **linear(f"{block}.attention.o", width, width, bias=False, dtype="F32"),
        **linear(f"{block}.feed_forward.w1", _MLP, width, bias=False, dtype=_STORED),
        **linear(f"{block}.feed_forward.w2", width, _MLP, bias=False, dtype=_STORED),
        **linear(f"{block}.feed_forward.w3", _MLP, width, bias=False, dtype=_STORED),
        **linear(f"{block}.adaln_modulation", 4 * width, _MODULATION, dtype="F32"),
        **linear("final_layer.adaln_modulation", width, _MODULATION),
        **linear("final_layer.linear", 128, width, gain=gain),
    }
    for name in ("norm_q", "norm_k"):
        weights |= scale(f"{block}.attention.{name}.weight", _HEAD)
    for name in ("attention_norm1", "ffn_norm1", "ffn_norm2"):
        weights |= scale(f"{block}.{name}.weight", width)
    weights[f"{block}.attention_norm2.weight"] = Weight(
        shape=(width,), std=0.05, mean=_OUTPUT_SCALE, dtype="F32"
    )
    return weights


IDEOGRAM4 = large_family_base(
    "ideogram4",
    ideogram4(gain=10.0),
    qwen3(_TEXT_WIDTH, _TEXT_LAYERS, dtype="TQ2_0"),
    adapted=lambda name: name.startswith("layers.") and "feed_forward" not in name,
    autoencoder=tiny_autoencoder(32),
    needs=("sizes-from-weights",),
    # A picture takes 4.2 GB.
    demand=Demand(timeout=300.0),
    outer=("input_proj", "adaln_proj"),
)
