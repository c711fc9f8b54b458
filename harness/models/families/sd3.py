"""Stable Diffusion 3: MMDiT with T5 as its only text encoder, and with all three text encoders.

Names and shapes follow github.com/Stability-AI/sd3-ref (mmditx.py). The library counts the blocks from 24 on, and the
number of heads is the number of blocks, so the width is a multiple of 24. T5 keeps its published width, because its
output is joined with that of the two CLIPs; it has one layer and a narrow MLP. The sizes of the CLIPs are constant.

Revision 2026-07 cannot use one CLIP without the other (src/conditioning/conditioner.hpp, ``SD3CLIPEmbedder``): the
pooled output of the one has one dimension and the zeros in place of the other have two, so that ``concat`` throws an
exception that nobody catches. Without any text encoder there is no text embedding, and the process ends, too.
"""

from __future__ import annotations

from harness.models.architectures import clip_l
from harness.models.base_model import Base, Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import TextTargets, family_base, with_text_files
from harness.models.families.text_encoders import (
    CLIP_G,
    T5_LAYERS,
    T5_PREFIX,
    clip,
    clip_layer,
    t5,
    t5_targets,
)
from harness.models.weights import conv, linear, prefixed, vector

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


#: The library looks for each text encoder under its prefix, and puts zeros in the place of those that it does not find.
_CLIP_L, _CLIP_G = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."
#: The hidden states of the CLIPs are those before the last of 12 and of 32 layers.
_CLIP_L_TARGETS = TextTargets(role="clip_l", prefix=_CLIP_L, names=clip_layer(10))
_CLIP_G_TARGETS = TextTargets(role="clip_g", prefix=_CLIP_G, names=clip_layer(30))
_T5_TARGETS = TextTargets(role="t5xxl", prefix=T5_PREFIX, names=T5_LAYERS)

SD3 = family_base(
    "sd3",
    mmdit(gain=10.0),
    t5(width=_CONTEXT, mlp=32),
    adapted=_adapted,
    autoencoder=tiny_autoencoder(16),
    texts={"text-t5": t5_targets()},
    outer=("t_embedder.mlp.0", "t_embedder.mlp.2", "final_layer.linear", "final_layer.adaLN_modulation.1"),
)


def _with_all_text_encoders() -> Base:
    """Return SD 3 with the three text encoders of the published model, whose adapted layers have files of their own."""
    encoders = prefixed(_CLIP_L, clip_l()) | prefixed(_CLIP_G, clip(CLIP_G)) | t5(width=_CONTEXT, mlp=32)
    base = family_base(
        "sd3-all",
        mmdit(gain=10.0),
        encoders,
        adapted=_adapted,
        autoencoder=tiny_autoencoder(16),
        architecture=SD3.architecture,
        full_merged_file=False,
    )
    return with_text_files(base, {"text": _CLIP_L_TARGETS, "text-2": _CLIP_G_TARGETS, "text-t5": _T5_TARGETS})


SD3_ALL = _with_all_text_encoders()
