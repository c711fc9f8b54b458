"""LingBot-Video, with Qwen3-VL as its text encoder. The library makes videos only.

Names and shapes follow those that the library reads (src/model/diffusion/lingbot_video.hpp in revision 2026-07). It
takes the number of heads from the width that it has read before, so the first tensor of the file gives the width.
"""

from __future__ import annotations

from harness.models.base_model import Weight, Weights
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import LLM_WIDTH, qwen3
from harness.models.families.whole_autoencoders import wan_autoencoder
from harness.models.weights import gated_mlp, linear, scale

#: One attention head, whose size the library fixes.
_WIDTH, _MLP = 128, 256


def lingbot_video(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width, block = _WIDTH, "blocks.0"
    weights: Weights = {
        **linear("patch_embedder", width, 64),
        **linear("time_embedder.linear_1", width, 256),
        **linear("time_embedder.linear_2", width, width),
        **linear("time_modulation.1", 6 * width, width),
        **scale("text_embedder.norm.weight", LLM_WIDTH),
        **linear("text_embedder.linear_1", width, LLM_WIDTH),
        **linear("text_embedder.linear_2", width, width),
        **linear("norm_out_modulation.1", 2 * width, width),
        **linear("proj_out", 64, width, gain=gain),
        f"{block}.scale_shift_table": Weight(shape=(1, 6 * width), std=0.3),
    }
    for name in ("to_q", "to_k", "to_v", "to_out"):
        weights |= linear(f"{block}.attn.{name}", width, width, bias=name == "to_out", dtype="F32")
    weights |= gated_mlp(f"{block}.ffn", width, _MLP, dtype="F32")
    for name in ("norm1", "norm2", "norm_post_attn", "norm_post_ffn", "attn.norm_q", "attn.norm_k"):
        weights |= scale(f"{block}.{name}.weight", width)
    return weights


LINGBOT_VIDEO = large_family_base(
    "lingbot-video",
    lingbot_video(gain=10.0),
    qwen3(),
    adapted=lambda name: ".attn." in name or ".ffn." in name,
    autoencoder=wan_autoencoder(),
    autoencoder_role="vae",
    needs=("sizes-from-weights", "video"),
    video=True,
    outer=("time_modulation.1", "norm_out_modulation.1"),
)
