"""Wan 2.1 of 1.3 billion parameters without a text encoder, whose place zeros take. The library makes videos only.

Names and shapes follow the checkpoints of Wan-AI/Wan2.1-T2V-1.3B. The number of blocks and all widths are constant.
"""

from __future__ import annotations

from harness.models.base_model import Weight, Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import large_family_base
from harness.models.weights import linear, norm, scale

_BLOCKS, _WIDTH, _MLP, _TEXT = 30, 1536, 8960, 4096
#: The type of the layers that adapters do not change.
_STORED = "Q4_0"
#: The blocks whose layers adapters change.
_ADAPTED = (0, _BLOCKS - 1)
#: The gain of the output of attention in these blocks, so that adapters of two blocks of 30 change the picture enough.
_OUTPUT_GAIN = 5.0


def wan(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        "patch_embedding.weight": Weight(shape=(width, 16, 1, 2, 2), std=0.125),
        "patch_embedding.bias": Weight(shape=(width,), std=0.02, dtype="F32"),
        **linear("text_embedding.0", width, _TEXT, dtype=_STORED),
        **linear("text_embedding.2", width, width, dtype=_STORED),
        **linear("time_embedding.0", width, 256, dtype=_STORED),
        **linear("time_embedding.2", width, width, dtype=_STORED),
        **linear("time_projection.1", 6 * width, width, dtype=_STORED),
        **linear("head.head", 64, width, gain=gain),
        "head.modulation": Weight(shape=(1, 2, width), std=0.1, dtype="F32"),
    }
    for number in range(_BLOCKS):
        block = f"blocks.{number}"
        dtype = "F32" if number in _ADAPTED else _STORED
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                gain_of_part = _OUTPUT_GAIN if part == "o" and number in _ADAPTED else 1.0
                weights |= linear(f"{block}.{attention}.{part}", width, width, gain=gain_of_part, dtype=dtype)
            weights |= scale(f"{block}.{attention}.norm_q.weight", width)
            weights |= scale(f"{block}.{attention}.norm_k.weight", width)
        weights |= norm(f"{block}.norm3", width)
        weights |= linear(f"{block}.ffn.0", _MLP, width, dtype=_STORED)
        weights |= linear(f"{block}.ffn.2", width, _MLP, dtype=_STORED)
        weights[f"{block}.modulation"] = Weight(shape=(1, 6, width), std=0.1, dtype="F32")
    return weights


WAN = large_family_base(
    "wan",
    wan(gain=10.0),
    {},
    adapted=lambda name: "_attn." in name and name.startswith(tuple(f"blocks.{n}." for n in _ADAPTED)),
    autoencoder=tiny_video_autoencoder(),
    needs=("video",),
    video=True,
)
