"""Anima, with one block and with Qwen3 of one layer as its text encoder; all widths are constant.

Names and shapes follow the checkpoints of circlestone-labs/Anima, which have ``net.`` before each name.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import qwen3
from harness.models.weights import linear, prefixed, scale, vector

_WIDTH, _TEXT, _HEAD, _MODULATION = 2048, 1024, 128, 256
#: The layers between the text encoder and the blocks, and the size of their heads.
_ADAPTER_LAYERS, _ADAPTER_HEAD, _ADAPTER_VOCABULARY = 6, 64, 32128


def anima(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    weights: Weights = {
        **linear("x_embedder.proj.1", _WIDTH, 17 * 4, bias=False),
        **linear("t_embedder.1.linear_1", _WIDTH, _WIDTH, bias=False),
        **linear("t_embedder.1.linear_2", 3 * _WIDTH, _WIDTH, bias=False),
        **scale("t_embedding_norm.weight", _WIDTH),
        **linear("final_layer.adaln_modulation.1", _MODULATION, _WIDTH, bias=False),
        **linear("final_layer.adaln_modulation.2", 2 * _WIDTH, _MODULATION, bias=False),
        **linear("final_layer.linear", 64, _WIDTH, gain=gain, bias=False),
        **_attention("blocks.0.self_attn", _WIDTH, _WIDTH, head=_HEAD, output="output_proj", dtype="F32"),
        **_attention("blocks.0.cross_attn", _WIDTH, _TEXT, head=_HEAD, output="output_proj", dtype="F32"),
        **linear("blocks.0.mlp.layer1", 4 * _WIDTH, _WIDTH, bias=False),
        **linear("blocks.0.mlp.layer2", _WIDTH, 4 * _WIDTH, bias=False),
        **vector("llm_adapter.embed.weight", _ADAPTER_VOCABULARY, _TEXT),
        **linear("llm_adapter.out_proj", _TEXT, _TEXT),
        **scale("llm_adapter.norm.weight", _TEXT),
    }
    for name in ("self_attn", "cross_attn", "mlp"):
        modulation = f"blocks.0.adaln_modulation_{name}"
        weights |= linear(f"{modulation}.1", _MODULATION, _WIDTH, bias=False)
        weights |= linear(f"{modulation}.2", 3 * _WIDTH, _MODULATION, bias=False)
    for number in range(_ADAPTER_LAYERS):
        layer = f"llm_adapter.blocks.{number}"
        for name in ("self_attn", "cross_attn"):
            weights |= _attention(f"{layer}.{name}", _TEXT, _TEXT, head=_ADAPTER_HEAD, output="o_proj")
        weights |= linear(f"{layer}.mlp.0", 4 * _TEXT, _TEXT) | linear(f"{layer}.mlp.2", _TEXT, 4 * _TEXT)
        for name in ("self_attn", "cross_attn", "mlp"):
            weights |= scale(f"{layer}.norm_{name}.weight", _TEXT)
    return prefixed("net.", weights)


def _attention(name: str, width: int, context: int, *, head: int, output: str, dtype: str = "F16") -> Weights:
    weights: Weights = {}
    for part, inner in (("q_proj", width), ("k_proj", context), ("v_proj", context), (output, width)):
        weights |= linear(f"{name}.{part}", width, inner, bias=False, dtype=dtype)
    return weights | scale(f"{name}.q_norm.weight", head) | scale(f"{name}.k_norm.weight", head)


ANIMA = family_base(
    "anima",
    anima(gain=10.0),
    qwen3(_TEXT),
    adapted=lambda name: name.startswith(("net.blocks.0.self_attn", "net.blocks.0.cross_attn")),
    autoencoder=tiny_video_autoencoder(),
    full_merged_file=False,
    module="net.",
)
