"""LTX-2, which makes pictures with sound, with Gemma 3 of two layers as its text encoder.

Names and shapes follow those that the library reads (src/model/diffusion/ltxv.hpp in revision 2026-07). It takes the
sizes of the diffusion model from the weights, but fixes the width of the text embedding.
"""

from __future__ import annotations

from harness.models.base_model import Demand, Weight, Weights
from harness.models.families.autoencoders import tiny_video_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import GEMMA3_LAYERS, GEMMA3_PROMPT, GEMMA3_WIDTH, gemma3
from harness.models.weights import linear, scale

#: The width of the tokens of the picture, and that of those of the sound. There are 32 attention heads.
_WIDTH, _SOUND = 256, 256
_CHANNELS, _TEXT = 128, 3840
#: The picture does not depend on what the last block makes of the sound, so there are two.
_BLOCKS = 2


def ltx2(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix for the picture."""
    weights: Weights = {
        **linear("patchify_proj", _WIDTH, _CHANNELS),
        **linear("audio_patchify_proj", _SOUND, _CHANNELS),
        **_modulation("adaln_single", _WIDTH, 6),
        **_modulation("audio_adaln_single", _SOUND, 6),
        **_modulation("av_ca_video_scale_shift_adaln_single", _WIDTH, 4),
        **_modulation("av_ca_a2v_gate_adaln_single", _WIDTH, 1),
        **_modulation("av_ca_audio_scale_shift_adaln_single", _SOUND, 4),
        **_modulation("av_ca_v2a_gate_adaln_single", _SOUND, 1),
        **linear("proj_out", _CHANNELS, _WIDTH, gain=gain),
        **linear("audio_proj_out", _CHANNELS, _SOUND),
        **_table("scale_shift_table", 2, _WIDTH),
        **_table("audio_scale_shift_table", 2, _SOUND),
    }
    for number in range(_BLOCKS):
        block = f"transformer_blocks.{number}"
        for name, out, context, inner in (
            ("attn1", _WIDTH, _WIDTH, _WIDTH),
            ("attn2", _WIDTH, _TEXT, _WIDTH),
            ("audio_attn1", _SOUND, _SOUND, _SOUND),
            ("audio_attn2", _SOUND, _TEXT, _SOUND),
            ("audio_to_video_attn", _WIDTH, _SOUND, _SOUND),
            ("video_to_audio_attn", _SOUND, _WIDTH, _SOUND),
        ):
            weights |= linear(f"{block}.{name}.to_q", inner, out, dtype="F32")
            weights |= linear(f"{block}.{name}.to_k", inner, context, dtype="F32")
            weights |= linear(f"{block}.{name}.to_v", inner, context, dtype="F32")
            weights |= linear(f"{block}.{name}.to_out.0", out, inner, dtype="F32")
            for norm in ("q_norm", "k_norm"):
                weights |= scale(f"{block}.{name}.{norm}.weight", inner)
        for name, width in (("ff", _WIDTH), ("audio_ff", _SOUND)):
            weights |= linear(f"{block}.{name}.net.0.proj", 4 * width, width, dtype="F32")
            weights |= linear(f"{block}.{name}.net.2", width, 4 * width, dtype="F32")
        weights |= _table(f"{block}.scale_shift_table", 6, _WIDTH)
        weights |= _table(f"{block}.audio_scale_shift_table", 6, _SOUND)
        weights |= _table(f"{block}.scale_shift_table_a2v_ca_video", 5, _WIDTH)
        weights |= _table(f"{block}.scale_shift_table_a2v_ca_audio", 5, _SOUND)
    return weights


def _modulation(name: str, width: int, parts: int) -> Weights:
    """Return the layers that turn the time into ``parts`` vectors."""
    return {
        **linear(f"{name}.emb.timestep_embedder.linear_1", width, 256),
        **linear(f"{name}.emb.timestep_embedder.linear_2", width, width),
        **linear(f"{name}.linear", parts * width, width),
    }


def _table(name: str, parts: int, width: int) -> Weights:
    # In F16, the library would read it as a layer of full precision.
    return {name: Weight(shape=(parts, width), std=0.3, dtype="F32")}


def _projection() -> Weights:
    """Return the matrix that makes the text embedding of the outputs of all layers and of their input."""
    return linear(
        "text_embedding_projection.projection",
        _TEXT,
        (GEMMA3_LAYERS + 1) * GEMMA3_WIDTH,
        bias=False,
        dtype="TQ2_0",
    )


LTX2 = large_family_base(
    "ltx2",
    ltx2(gain=6.0),
    gemma3() | _projection(),
    adapted=lambda name: name.startswith("transformer_blocks.") and "_table" not in name,
    autoencoder=tiny_video_autoencoder(_CHANNELS, patch=4, more=(2, 2, 2)),
    needs=("sizes-from-weights", "video"),
    video=True,
    prompt=GEMMA3_PROMPT,
    # A picture takes 3.4 GB.
    demand=Demand(timeout=600.0),
)
