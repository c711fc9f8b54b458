"""Ovis-Image: Flux with gated MLPs and Qwen3 as its text encoder.

Names and shapes follow the checkpoints of AIDC-AI/Ovis-Image-7B in the names of Flux's authors.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import LLM_WIDTH, qwen3
from harness.models.weights import linear, scale

#: One attention head, whose size the library fixes.
_WIDTH = 128


def ovis_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width, mlp = _WIDTH, 4 * _WIDTH
    weights: Weights = {
        **linear("img_in", width, 64),
        **linear("txt_in", width, LLM_WIDTH),
        **scale("txt_norm.scale", LLM_WIDTH),
        **linear("time_in.in_layer", width, 256),
        **linear("time_in.out_layer", width, width),
        **linear("final_layer.adaLN_modulation.1", 2 * width, width),
        **linear("final_layer.linear", 64, width, gain=gain),
    }
    for stream in ("img", "txt"):
        block = f"double_blocks.0.{stream}"
        weights |= linear(f"{block}_mod.lin", 6 * width, width)
        weights |= linear(f"{block}_attn.qkv", 3 * width, width, dtype="F32")
        weights |= linear(f"{block}_attn.proj", width, width, dtype="F32")
        weights |= linear(f"{block}_mlp.gate_proj", mlp, width, dtype="F32")
        weights |= linear(f"{block}_mlp.up_proj", mlp, width, dtype="F32")
        weights |= linear(f"{block}_mlp.down_proj", width, mlp, dtype="F32")
        for part in ("query", "key"):
            weights |= scale(f"{block}_attn.norm.{part}_norm.scale", width)
    weights |= linear("single_blocks.0.modulation.lin", 3 * width, width)
    weights |= linear("single_blocks.0.linear1", 3 * width + 2 * mlp, width, dtype="F32")
    weights |= linear("single_blocks.0.linear2", width, width + mlp, dtype="F32")
    for part in ("query", "key"):
        weights |= scale(f"single_blocks.0.norm.{part}_norm.scale", width)
    return weights


OVIS_IMAGE = family_base(
    "ovis-image",
    ovis_image(gain=10.0),
    qwen3(),
    adapted=lambda name: "_blocks." in name and "mod" not in name,
    autoencoder=tiny_autoencoder(16),
    needs=(),
)
