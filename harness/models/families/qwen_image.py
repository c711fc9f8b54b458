"""Qwen-Image, with one block and with Qwen2.5-VL of one layer as its text encoder; all widths are constant.

Names and shapes follow the checkpoints of Qwen/Qwen-Image, which have the names of diffusers.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import QWEN2_WIDTH, qwen2_5_vl
from harness.models.large_base import LargeBase
from harness.models.weights import linear, scale, vector

_WIDTH, _HEAD = 3072, 128
#: The gain of the output of attention, so that adapters of one block change the picture enough.
_OUTPUT_GAIN = 8.0


def qwen_image(
    *, gain: float, channels: int = 64, text: int = QWEN2_WIDTH, blocks: int = 1, dtype: str = "Q4_0"
) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix.

    ``channels`` is the number of values of the latent for each token, and ``text`` the width of the text embedding.
    Adapters change the attention of the first of the ``blocks``; ``dtype`` is the type of the other large matrices.
    """
    width = _WIDTH
    weights: Weights = {
        **linear("time_text_embed.timestep_embedder.linear_1", width, 256),
        **linear("time_text_embed.timestep_embedder.linear_2", width, width, dtype=dtype),
        **scale("txt_norm.weight", text),
        **linear("img_in", width, channels),
        **linear("txt_in", width, text, dtype=dtype),
        **linear("norm_out.linear", 2 * width, width, dtype=dtype),
        **linear("proj_out", channels, width, gain=gain),
    }
    for number in range(blocks):
        weights |= _block(f"transformer_blocks.{number}", dtype, "F32" if number == 0 else dtype)
    return weights


def _block(block: str, dtype: str, of_attention: str) -> Weights:
    width = _WIDTH
    weights: Weights = {}
    for stream, parts in (
        ("img", ("to_q", "to_k", "to_v", "to_out.0")),
        ("txt", ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
    ):
        weights |= linear(f"{block}.{stream}_mod.1", 6 * width, width, dtype=dtype)
        weights |= linear(f"{block}.{stream}_mlp.net.0.proj", 4 * width, width, dtype=dtype)
        weights |= linear(f"{block}.{stream}_mlp.net.2", width, 4 * width, dtype=dtype)
        for name in parts:
            gain = _OUTPUT_GAIN if name == parts[-1] else 1.0
            weights |= linear(f"{block}.attn.{name}", width, width, gain=gain, dtype=of_attention)
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        weights |= scale(f"{block}.attn.{name}.weight", _HEAD)
    return weights


def _base(name: str, diffusion_model: Weights) -> LargeBase:
    return large_family_base(
        name,
        diffusion_model,
        qwen2_5_vl(),
        adapted=lambda tensor: ".attn." in tensor,
        autoencoder=tiny_video_autoencoder(),
        architecture="qwen-image",
    )


QWEN_IMAGE = _base("qwen-image", qwen_image(gain=10.0))
#: Qwen-Image Layered also embeds whether a picture is a layer.
QWEN_IMAGE_LAYERED = _base(
    "qwen-image-layered",
    qwen_image(gain=10.0) | vector("time_text_embed.addition_t_embedding.weight", 2, _WIDTH),
)
