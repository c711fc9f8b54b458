"""Krea 2, with the language part of Qwen3-VL as its text encoder.

Names and shapes follow those that the library reads (src/model/diffusion/krea2.hpp in revision 2026-07). The library
takes the size of a head in the text fusion from the blocks of the diffusion model, and the number of its heads is 20.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import qwen3
from harness.models.weights import linear, vector, zero_centred_scale

_HEAD, _HEADS, _TEXT_HEADS = 16, 4, 20
_WIDTH, _TEXT = _HEADS * _HEAD, _TEXT_HEADS * _HEAD
#: The library uses the output of every third layer of the text encoder, from the third on, and needs two.
_TEXT_LAYERS, _USED_LAYERS = 5, 2


def krea2(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **linear("first", width, 64),
        **linear("tmlp.0", width, 256),
        **linear("tmlp.2", width, width),
        **linear("tproj.1", 6 * width, width),
        **zero_centred_scale("txtmlp.0.scale", _TEXT),
        **linear("txtmlp.1", width, _TEXT),
        **linear("txtmlp.3", width, width),
        **linear("txtfusion.projector", 1, _USED_LAYERS, bias=False),
        **zero_centred_scale("last.norm.scale", width),
        **vector("last.modulation.lin", 2, width),
        **linear("last.linear", 64, width, gain=gain),
        **_block("blocks.0", width, dtype="F32"),
        **vector("blocks.0.mod.lin", 6 * width),
    }
    for name in ("layerwise_blocks", "refiner_blocks"):
        for number in range(2):
            weights |= _block(f"txtfusion.{name}.{number}", _TEXT, dtype="F16")
    return weights


def _block(name: str, width: int, *, dtype: str) -> Weights:
    weights: Weights = {}
    for part in ("wq", "wk", "wv", "wo", "gate"):
        weights |= linear(f"{name}.attn.{part}", width, width, bias=False, dtype=dtype)
    mlp = -(-(2 * width // 3 * 4) // 128) * 128
    for part, out, inner in (("gate", mlp, width), ("up", mlp, width), ("down", width, mlp)):
        weights |= linear(f"{name}.mlp.{part}", out, inner, bias=False, dtype=dtype)
    for part in ("qnorm", "knorm"):
        weights |= zero_centred_scale(f"{name}.attn.qknorm.{part}.scale", _HEAD)
    for part in ("prenorm", "postnorm"):
        weights |= zero_centred_scale(f"{name}.{part}.scale", width)
    return weights


KREA2 = family_base(
    "krea2",
    krea2(gain=10.0),
    qwen3(_TEXT, _TEXT_LAYERS),
    adapted=lambda name: name.startswith("blocks.0.") and ".mod." not in name,
    autoencoder=tiny_video_autoencoder(),
)
