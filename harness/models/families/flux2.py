"""Flux.2: klein with Qwen3 as its text encoder, and dev with Mistral.

Names and shapes follow github.com/black-forest-labs/flux2 (src/flux2/model.py). All blocks share one modulation, and
there are no biases. The library knows dev by the last of its 48 blocks with one stream.
"""

from __future__ import annotations

from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import LLM_WIDTH, ministral, qwen3
from harness.models.weights import linear, scale

#: One attention head, whose size the library fixes.
WIDTH = 128


def flux2(*, single: int = 1, channels: int = 128, guidance: bool = False, gain: float) -> Weights:
    """Return the tensors of the diffusion model with ``single`` blocks of one stream, for patches of ``channels``.

    With ``guidance`` it embeds the guidance, as dev does. ``gain`` scales the last matrix.
    """
    width, mlp = WIDTH, 3 * WIDTH
    shapes = {
        "img_in": (width, channels),
        "txt_in": (width, LLM_WIDTH),
        "time_in.in_layer": (width, 256),
        "time_in.out_layer": (width, width),
        "double_stream_modulation_img.lin": (6 * width, width),
        "double_stream_modulation_txt.lin": (6 * width, width),
        "single_stream_modulation.lin": (3 * width, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    if guidance:
        shapes |= {"guidance_in.in_layer": (width, 256), "guidance_in.out_layer": (width, width)}
    weights: Weights = linear("final_layer.linear", channels, width, gain=gain, bias=False)
    for name, (out, inner) in shapes.items():
        weights |= linear(name, out, inner, bias=False)
    blocks = {}
    for number in range(single):
        blocks[f"single_blocks.{number}.linear1"] = (3 * width + 2 * mlp, width)
        blocks[f"single_blocks.{number}.linear2"] = (width, width + mlp)
    for stream in ("img", "txt"):
        blocks[f"double_blocks.0.{stream}_attn.qkv"] = (3 * width, width)
        blocks[f"double_blocks.0.{stream}_attn.proj"] = (width, width)
        blocks[f"double_blocks.0.{stream}_mlp.0"] = (2 * mlp, width)
        blocks[f"double_blocks.0.{stream}_mlp.2"] = (width, mlp)
    for name, (out, inner) in blocks.items():
        weights |= linear(name, out, inner, bias=False, dtype="F32")
    single_blocks = (f"single_blocks.{number}" for number in range(single))
    for norms in ("double_blocks.0.img_attn", "double_blocks.0.txt_attn", *single_blocks):
        for part in ("query", "key"):
            weights |= scale(f"{norms}.norm.{part}_norm.scale", width)
    return weights


FLUX2_KLEIN = family_base(
    "flux2-klein",
    flux2(gain=10.0),
    qwen3(),
    adapted=lambda name: "_blocks." in name,
    autoencoder=tiny_autoencoder(32),
    needs=(),
    edits=True,
)
FLUX2_DEV = family_base(
    "flux2-dev",
    flux2(single=48, guidance=True, gain=10.0),
    ministral(),
    adapted=lambda name: "_blocks." in name,
    autoencoder=tiny_autoencoder(32),
    architecture="flux2-klein",
)
