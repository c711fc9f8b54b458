"""Wan without a text encoder, whose place zeros take. The library makes videos only.

``WAN`` is Wan 2.1 of 1.3 billion parameters, ``WAN_TI2V`` Wan 2.2 of 5 billion, and ``WAN_I2V`` one of the two models
of Wan 2.2 of 14 billion. Names and shapes follow the checkpoints of Wan-AI/Wan2.1-T2V-1.3B, Wan-AI/Wan2.2-TI2V-5B and
Wan-AI/Wan2.2-I2V-A14B. The number of blocks and all widths are constant.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from harness.models.base_model import Demand, Weight, Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import large_family_base
from harness.models.large_base import LargeBase
from harness.models.weights import linear, norm, scale

_TEXT = 4096
#: The gain of the output of attention in these blocks, so that adapters of two blocks of 30 change the picture enough.
_OUTPUT_GAIN = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The number of blocks, the width of a block and of its MLP, the channels of the latent, and how it is stored.

    Adapters change the layers of ``attentions`` in the blocks ``adapted``. ``stored`` is the type of the other layers.
    ``condition`` are the channels that follow those of the latent: the mask and the latent of a first frame.
    """

    blocks: int = 30
    width: int
    mlp: int
    channels: int
    condition: int = 0
    adapted: Collection[int]
    attentions: Collection[str] = ("self_attn", "cross_attn")
    stored: str


def wan(sizes: _Sizes, *, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width, channels, stored = sizes.width, sizes.channels, sizes.stored
    inputs = channels + sizes.condition
    weights: Weights = {
        "patch_embedding.weight": Weight(shape=(width, inputs, 1, 2, 2), std=(4 * inputs) ** -0.5),
        "patch_embedding.bias": Weight(shape=(width,), std=0.02, dtype="F32"),
        **linear("text_embedding.0", width, _TEXT, dtype=stored),
        **linear("text_embedding.2", width, width, dtype=stored),
        **linear("time_embedding.0", width, 256, dtype=stored),
        **linear("time_embedding.2", width, width, dtype=stored),
        **linear("time_projection.1", 6 * width, width, dtype=stored),
        **linear("head.head", 4 * channels, width, gain=gain),
        "head.modulation": Weight(shape=(1, 2, width), std=0.1, dtype="F32"),
    }
    for number in range(sizes.blocks):
        block = f"blocks.{number}"
        for attention in ("self_attn", "cross_attn"):
            adapted = number in sizes.adapted and attention in sizes.attentions
            dtype = "F32" if adapted else stored
            for part in "qkvo":
                gain_of_part = _OUTPUT_GAIN if part == "o" and adapted else 1.0
                weights |= linear(f"{block}.{attention}.{part}", width, width, gain=gain_of_part, dtype=dtype)
            weights |= scale(f"{block}.{attention}.norm_q.weight", width)
            weights |= scale(f"{block}.{attention}.norm_k.weight", width)
        weights |= norm(f"{block}.norm3", width)
        weights |= linear(f"{block}.ffn.0", sizes.mlp, width, dtype=stored)
        weights |= linear(f"{block}.ffn.2", width, sizes.mlp, dtype=stored)
        weights[f"{block}.modulation"] = Weight(shape=(1, 6, width), std=0.1, dtype="F32")
    return weights


def _base(name: str, sizes: _Sizes, autoencoder: Weights) -> LargeBase:
    adapted = tuple(
        f"blocks.{number}.{attention}." for number in sizes.adapted for attention in sizes.attentions
    )
    return large_family_base(
        name,
        wan(sizes, gain=10.0),
        {},
        adapted=lambda tensor: tensor.startswith(adapted),
        autoencoder=autoencoder,
        architecture="wan",
        needs=("video",),
        video=True,
    )


WAN = _base(
    "wan",
    _Sizes(width=1536, mlp=8960, channels=16, adapted=(0, 29), stored="Q4_0"),
    tiny_video_autoencoder(),
)
#: One block is adapted: the layers of its attention have 300 MB in F32.
WAN_TI2V = _base(
    "wan-ti2v",
    _Sizes(width=3072, mlp=14336, channels=48, adapted=(29,), stored="TQ2_0"),
    tiny_video_autoencoder(48, patch=2),
)
#: The layers of one self-attention have 420 MB in F32. Without a first frame the library takes a grey one.
WAN_I2V = replace(
    _base(
        "wan-i2v",
        _Sizes(
            blocks=40,
            width=5120,
            mlp=13824,
            channels=16,
            condition=20,
            adapted=(39,),
            attentions=("self_attn",),
            stored="TQ2_0",
        ),
        tiny_video_autoencoder(),
    ),
    # A picture takes 4.4 GB.
    demand=Demand(timeout=600.0),
)
