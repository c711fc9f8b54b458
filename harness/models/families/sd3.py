"""Stable Diffusion 3: MMDiT with T5 as its only text encoder.

Names and shapes follow github.com/Stability-AI/sd3-ref (mmditx.py). The library counts the blocks from 24 on, and the
number of heads is the number of blocks, so the width is a multiple of 24. T5 keeps its published width, because its
output is joined with that of the two CLIPs; it has one layer and a narrow MLP.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import t5, t5_targets
from harness.models.weights import conv, linear, vector

_BLOCKS, _WIDTH, _CONTEXT, _POOLED = 24, 96, 4096, 2048
#: A square number, at least the number of patches of a picture.
_POSITIONS = 16


def mmdit(*, gain: float) -> Weights:
    """Return the tensors of MMDiT. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **conv("x_embedder.proj", width, 16, 2),
        **vector("pos_embed", 1, _POSITIONS, width),
        **linear("context_embedder", width, _CONTEXT),
        **linear("y_embedder.mlp.0", width, _POOLED),
        **linear("y_embedder.mlp.2", width, width),
        **linear("t_embedder.mlp.0", width, 256),
        **linear("t_embedder.mlp.2", width, width),
        **linear("final_layer.adaLN_modulation.1", 2 * width, width),
        **linear("final_layer.linear", 64, width, gain=gain),
    }
    for number in range(_BLOCKS):
        for stream in ("context", "x"):
            block = f"joint_blocks.{number}.{stream}_block"
            last = stream == "context" and number == _BLOCKS - 1
            weights |= linear(f"{block}.adaLN_modulation.1", (2 if last else 6) * width, width)
            weights |= linear(f"{block}.attn.qkv", 3 * width, width, dtype="F32")
            if not last:
                weights |= linear(f"{block}.attn.proj", width, width, dtype="F32")
                weights |= linear(f"{block}.mlp.fc1", 4 * width, width, dtype="F32")
                weights |= linear(f"{block}.mlp.fc2", width, 4 * width, dtype="F32")
    return weights


def _adapted(name: str) -> bool:
    """Return whether adapters change a tensor: the layers of the first and of the last block."""
    return name.startswith(("joint_blocks.0.", "joint_blocks.23.")) and "adaLN" not in name


SD3 = family_base(
    "sd3",
    mmdit(gain=10.0),
    t5(width=_CONTEXT, mlp=32),
    adapted=_adapted,
    autoencoder=tiny_autoencoder(16),
    texts={"text-t5": t5_targets()},
    outer=("t_embedder.mlp.0", "t_embedder.mlp.2", "final_layer.linear", "final_layer.adaLN_modulation.1"),
)
