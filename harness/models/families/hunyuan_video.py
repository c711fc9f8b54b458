"""HunyuanVideo 1.5, with Qwen2.5-VL as its text encoder. The library makes videos only.

Names and shapes follow the checkpoints of tencent/HunyuanVideo-1.5 in ComfyUI's format. The library takes the number of
heads from the width that it has read before, so the first tensor of the file gives the width.
"""

from __future__ import annotations

from dataclasses import replace

from harness.models.base_model import Weight, Weights
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import LLM_WIDTH, qwen2_5_vl
from harness.models.families.whole_autoencoders import hunyuan_autoencoder
from harness.models.weights import linear, norm, scale

#: One attention head, whose size the library fixes.
_WIDTH = 128
#: The channels of the latent, and of the input, which also has those of a first frame and of its mask.
_CHANNELS, _INPUT = 32, 65
#: The library fixes the number of blocks of the text's refiner.
_REFINER_BLOCKS = 2
#: The gain of the embedding of the whole text, so that adapters of this embedding change the picture enough.
_CONTEXT_GAIN = 4.0


def hunyuan_video(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        "img_in.proj.weight": Weight(shape=(width, _INPUT, 1, 1, 1), std=_INPUT**-0.5),
        "img_in.proj.bias": Weight(shape=(width,), std=0.02, dtype="F32"),
        **linear("txt_in.input_embedder", width, LLM_WIDTH),
        **_embedder("txt_in.t_embedder", 256),
        **_embedder("txt_in.c_embedder", LLM_WIDTH, gain=_CONTEXT_GAIN),
        **_embedder("time_in", 256),
        **linear("final_layer.linear", _CHANNELS, width, gain=gain),
        **linear("final_layer.adaLN_modulation.1", 2 * width, width),
    }
    for number in range(_REFINER_BLOCKS):
        block = f"txt_in.individual_token_refiner.blocks.{number}"
        weights |= _block(f"{block}.", "self_attn", "adaLN_modulation.1", 2)
        weights |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
    for stream in ("img", "txt"):
        block = f"double_blocks.0.{stream}_"
        weights |= _block(block, "attn", "mod.lin", 6)
        for part in ("query", "key"):
            weights |= scale(f"{block}attn.norm.{part}_norm.scale", width)
    return weights


def _block(prefix: str, attention: str, modulation: str, parts: int) -> Weights:
    """Return the layers of a block that adapters change. The modulation has so many ``parts``."""
    weights: Weights = {}
    for name, out, inner in (
        (f"{attention}.qkv", 3, 1),
        (f"{attention}.proj", 1, 1),
        ("mlp.0", 4, 1),
        ("mlp.2", 1, 4),
        (modulation, parts, 1),
    ):
        weights |= linear(prefix + name, out * _WIDTH, inner * _WIDTH, dtype="F32")
    return weights


def _embedder(name: str, inner: int, gain: float = 1.0) -> Weights:
    return linear(f"{name}.in_layer", _WIDTH, inner) | linear(f"{name}.out_layer", _WIDTH, _WIDTH, gain=gain)


_BASE = large_family_base(
    "hunyuan-video",
    hunyuan_video(gain=10.0),
    qwen2_5_vl(LLM_WIDTH),
    adapted=lambda name: "blocks." in name,
    autoencoder=hunyuan_autoencoder(),
    autoencoder_role="vae",
    needs=("sizes-from-weights", "video"),
    video=True,
    outer=("txt_in.c_embedder.in_layer", "txt_in.c_embedder.out_layer"),
)
#: The autoencoder has 870 million parameters. A picture of 64 by 64 pixels takes more than three times as long.
HUNYUAN_VIDEO = replace(_BASE, width=32, height=32)
