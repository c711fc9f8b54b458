"""HiDream-O1, a Qwen3-VL that computes pixels, so that it needs neither a text encoder nor an autoencoder.

Names and shapes follow those that the library reads (src/model/diffusion/hidream_o1.hpp and src/model/te/llm.hpp in
revision 2026-07). All sizes are constant. No test encodes a picture, but the library requires the layers for that.
"""

from __future__ import annotations

from harness.models.base_model import Demand, Weight, Weights
from harness.models.families.family import large_family_base
from harness.models.weights import gated_mlp, linear, norm, prefixed, scale, vector

_WIDTH, _MLP, _LAYERS, _VOCABULARY = 4096, 12288, 36, 151936
_HEAD, _HEADS, _KEY_HEADS = 128, 32, 8
#: The pixels of a patch, and the width between the two matrices that embed it.
_PATCH, _EMBEDDING = 3 * 32 * 32, _WIDTH // 4
#: The sizes of the part that encodes pictures. It merges four tokens into one.
_VISION_WIDTH, _VISION_MLP, _VISION_BLOCKS, _VISION_PATCH, _POSITIONS = 1152, 4304, 27, 16, 2304
_MERGED = 4 * _VISION_WIDTH
#: The type of the layers that adapters do not change, and that of those whose rows do not divide into its blocks.
_STORED, _VISION_STORED = "TQ2_0", "Q4_0"
#: The gain of the output of attention in the last layer, so that adapters of it change the picture enough.
_OUTPUT_GAIN = 10.0
#: The standard deviation of the noise that the library starts from.
_NOISE = 8.0
#: The standard deviation of the pictures' values, of which black is -1 and white 1.
_CONTRAST = 0.4


def hidream_o1() -> Weights:
    """Return the tensors of the model, without the prefix."""
    weights: Weights = {
        "language_model.embed_tokens.weight": Weight(shape=(_VOCABULARY, _WIDTH), std=0.3, dtype="Q4_0"),
        **scale("language_model.norm.weight", _WIDTH),
        **linear("t_embedder1.mlp.0", _WIDTH, 256),
        **linear("t_embedder1.mlp.2", _WIDTH, _WIDTH),
        **linear("x_embedder.proj1", _EMBEDDING, _PATCH, gain=1 / _NOISE, bias=False),
        **linear("x_embedder.proj2", _WIDTH, _EMBEDDING),
        **linear("final_layer2.linear", _PATCH, _WIDTH, gain=_CONTRAST),
        **prefixed("visual.", _vision()),
    }
    for number in range(_LAYERS):
        layer = f"language_model.layers.{number}"
        adapted = number == _LAYERS - 1
        for name, heads in (("q_proj", _HEADS), ("k_proj", _KEY_HEADS), ("v_proj", _KEY_HEADS)):
            weights |= linear(
                f"{layer}.self_attn.{name}",
                heads * _HEAD,
                _WIDTH,
                bias=False,
                dtype="F32" if adapted else _STORED,
            )
        weights |= linear(
            f"{layer}.self_attn.o_proj",
            _WIDTH,
            _HEADS * _HEAD,
            gain=_OUTPUT_GAIN if adapted else 1.0,
            bias=False,
            dtype="F32" if adapted else _STORED,
        )
        weights |= gated_mlp(f"{layer}.mlp", _WIDTH, _MLP, dtype=_STORED)
        for name in ("q_norm", "k_norm"):
            weights |= scale(f"{layer}.self_attn.{name}.weight", _HEAD)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights |= scale(f"{layer}.{name}.weight", _WIDTH)
    return weights


def _vision() -> Weights:
    """Return the tensors of the part that encodes pictures."""
    width, patch = _VISION_WIDTH, (3, 2, _VISION_PATCH, _VISION_PATCH)
    weights: Weights = {
        "patch_embed.proj.weight": Weight(shape=(width, *patch), std=0.03),
        "patch_embed.proj.bias": Weight(shape=(width,), std=0.02, dtype="F32"),
        **vector("pos_embed.weight", _POSITIONS, width),
        **norm("merger.norm", width),
        **linear("merger.linear_fc1", _MERGED, _MERGED, dtype=_VISION_STORED),
        **linear("merger.linear_fc2", _WIDTH, _MERGED, dtype=_VISION_STORED),
    }
    for number in range(_VISION_BLOCKS):
        block = f"blocks.{number}"
        weights |= linear(f"{block}.attn.qkv", 3 * width, width, dtype=_VISION_STORED)
        weights |= linear(f"{block}.attn.proj", width, width, dtype=_VISION_STORED)
        weights |= linear(f"{block}.mlp.linear_fc1", _VISION_MLP, width, dtype=_VISION_STORED)
        weights |= linear(f"{block}.mlp.linear_fc2", width, _VISION_MLP)
        weights |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
    return weights


HIDREAM_O1 = large_family_base(
    "hidream-o1",
    hidream_o1(),
    {},
    adapted=lambda name: name.startswith(f"language_model.layers.{_LAYERS - 1}.self_attn."),
    autoencoder=None,
    prefix="model.",
    # A picture takes 2.8 GB.
    demand=Demand(timeout=600.0),
)
