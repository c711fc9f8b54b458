"""PiD, which makes a larger picture of another one, with Gemma 2 of one layer as its text encoder.

Names and shapes follow those that the library reads (src/model/diffusion/pid.hpp in revision 2026-07). It computes
pixels; TAESD encodes the other picture, without which the library makes none. There are at least 14 blocks, and all
widths but that of the MLPs are constant.
"""

from __future__ import annotations

from harness.models.base_model import Calibration, Weight, Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import GEMMA2_WIDTH, gemma2
from harness.models.weights import conv, linear, norm, prefixed, scale

_WIDTH, _HEAD, _MLP, _BLOCKS, _PATCH = 1536, 64, 256, 14, 16
#: The sizes of the blocks that compute pixels: the width of a pixel, that of attention, and that of a head.
_PIXEL_WIDTH, _PIXEL_ATTENTION, _PIXEL_HEAD, _PIXEL_BLOCKS = 16, 1152, 72, 2
_PATCH_WIDTH = _PIXEL_WIDTH * _PATCH * _PATCH
#: The sizes of the layers that read the latent of the other picture, and how many blocks get something of it.
_LATENT, _LATENT_WIDTH, _LATENT_BLOCKS, _LATENT_OUTPUTS = 16, 512, 4, 7
_TEXT_LENGTH = 300
#: The block that adapters change: the picture does not depend on what the last one makes of the text.
_ADAPTED = _BLOCKS - 2
#: The type of the layers that adapters do not change.
_STORED = "TQ2_0"


def pid(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    width = _WIDTH
    weights: Weights = {
        **linear("pixel_embedder.proj", _PIXEL_WIDTH, 3),
        **linear("s_embedder.proj", width, 3 * _PATCH * _PATCH),
        **linear("t_embedder.mlp.0", width, 256),
        **linear("t_embedder.mlp.2", width, width),
        **linear("y_embedder.proj", width, GEMMA2_WIDTH),
        **scale("y_embedder.norm.weight", width),
        "y_pos_embedding": Weight(shape=(1, _TEXT_LENGTH, width), std=0.3, dtype="F32"),
        **scale("final_layer.norm.weight", _PIXEL_WIDTH),
        **linear("final_layer.linear", 3, _PIXEL_WIDTH, gain=gain),
        **prefixed("lq_proj.", _latent_layers()),
    }
    for number in range(_BLOCKS):
        weights |= _patch_block(f"patch_blocks.{number}", "F32" if number == _ADAPTED else _STORED)
    for number in range(_PIXEL_BLOCKS):
        weights |= _pixel_block(f"pixel_blocks.{number}")
    return prefixed("net.", weights)


def _patch_block(block: str, dtype: str) -> Weights:
    width = _WIDTH
    weights: Weights = {}
    for stream, name in (("x", "img"), ("y", "txt")):
        weights |= scale(f"{block}.norm_{stream}1.weight", width)
        weights |= scale(f"{block}.norm_{stream}2.weight", width)
        weights |= linear(f"{block}.attn.qkv_{stream}", 3 * width, width, bias=False, dtype=dtype)
        weights |= linear(f"{block}.attn.proj_{stream}", width, width, dtype=dtype)
        for part in "qk":
            weights |= scale(f"{block}.attn.{part}_norm_{stream}.weight", _HEAD)
        for part, out, inner in (("w1", _MLP, width), ("w2", width, _MLP), ("w3", _MLP, width)):
            weights |= linear(f"{block}.mlp_{stream}.{part}", out, inner, bias=False, dtype=dtype)
        weights |= linear(f"{block}.adaLN_modulation_{name}.0", 6 * width, width, dtype=dtype)
    return weights


def _pixel_block(block: str) -> Weights:
    width, attention = _PIXEL_WIDTH, _PIXEL_ATTENTION
    weights: Weights = {
        **linear(f"{block}.compress_to_attn", attention, _PATCH_WIDTH),
        **linear(f"{block}.expand_from_attn", _PATCH_WIDTH, attention),
        **linear(f"{block}.attn.qkv", 3 * attention, attention, bias=False),
        **linear(f"{block}.attn.proj", attention, attention),
        **linear(f"{block}.mlp.fc1", 4 * width, width),
        **linear(f"{block}.mlp.fc2", width, 4 * width),
        **linear(f"{block}.adaLN_modulation.0", 6 * _PATCH_WIDTH, _WIDTH, dtype=_STORED),
    }
    for part in "qk":
        weights |= scale(f"{block}.attn.{part}_norm.weight", _PIXEL_HEAD)
    for name in ("norm1", "norm2"):
        weights |= scale(f"{block}.{name}.weight", width)
    return weights


def _latent_layers() -> Weights:
    """Return the layers that read the latent of the other picture."""
    width = _LATENT_WIDTH
    weights: Weights = {
        **conv("latent_proj.0", width, _LATENT, 3),
        **conv("latent_proj.2", width, width, 3),
    }
    for number in range(3, 3 + _LATENT_BLOCKS):
        block = f"latent_proj.{number}.block"
        weights |= norm(f"{block}.0", width) | conv(f"{block}.2", width, width, 3)
        weights |= norm(f"{block}.3", width) | conv(f"{block}.5", width, width, 3)
    for number in range(_LATENT_OUTPUTS):
        weights |= linear(f"output_heads.{number}", _WIDTH, width)
        weights |= linear(f"gate_modules.{number}.content_proj", _WIDTH, 2 * _WIDTH)
        weights[f"gate_modules.{number}.log_alpha"] = Weight(shape=(1,), std=0.3, dtype="F32")
    return weights


#: A third of the pixels is clipped, because the noise from which sampling starts is not scaled to the range of pixels.
PID = large_family_base(
    "pid",
    pid(gain=0.5),
    gemma2(),
    adapted=lambda name: name.startswith(f"net.patch_blocks.{_ADAPTED}."),
    autoencoder=tiny_autoencoder(_LATENT),
    needs=("sizes-from-weights",),
    module="net.",
    calibration=Calibration(clipped=0.4),
    edits_only=True,
)
