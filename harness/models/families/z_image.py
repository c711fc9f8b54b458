"""Z-Image, with Qwen3 as its text encoder.

Names and shapes follow the checkpoints of Tongyi-MAI/Z-Image-Turbo in ComfyUI's format. The modulation is 256 wide in
every size, so the width is at least 256.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import LLM_WIDTH, qwen3
from harness.models.weights import linear, scale, vector

_WIDTH, _HEAD, _MLP = 256, 128, 768
#: The blocks of the image and the text together, of the image alone, and of the text alone.
_BLOCKS = ("layers.0", "noise_refiner.0", "context_refiner.0")


def z_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **linear("x_embedder", width, 64),
        **vector("x_pad_token", width),
        **vector("cap_pad_token", width),
        **scale("cap_embedder.0.weight", LLM_WIDTH),
        **linear("cap_embedder.1", width, LLM_WIDTH),
        **linear("t_embedder.mlp.0", width, 256),
        **linear("t_embedder.mlp.2", 256, width),
        **linear("final_layer.adaLN_modulation.1", width, 256),
        **linear("final_layer.linear", 64, width, gain=gain),
    }
    for block in _BLOCKS:
        weights |= linear(f"{block}.attention.qkv", 3 * width, width, bias=False, dtype="F32")
        weights |= linear(f"{block}.attention.out", width, width, bias=False, dtype="F32")
        weights |= linear(f"{block}.feed_forward.w1", _MLP, width, bias=False, dtype="F32")
        weights |= linear(f"{block}.feed_forward.w2", width, _MLP, bias=False, dtype="F32")
        weights |= linear(f"{block}.feed_forward.w3", _MLP, width, bias=False, dtype="F32")
        if block != "context_refiner.0":
            weights |= linear(f"{block}.adaLN_modulation.0", 4 * width, 256)
        for part in "qk":
            weights |= scale(f"{block}.attention.{part}_norm.weight", _HEAD)
        for name in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
            weights |= scale(f"{block}.{name}.weight", width)
    return weights


Z_IMAGE = family_base(
    "z-image",
    z_image(gain=10.0),
    qwen3(),
    adapted=lambda name: name.startswith(_BLOCKS) and "adaLN" not in name,
    autoencoder=tiny_autoencoder(16),
    outer=("cap_embedder.1",),
)
