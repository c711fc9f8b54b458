"""Mage-Flow, with the language part of Qwen3-VL of one layer as its text encoder, and with its own autoencoder.

Names and shapes follow those that the library reads (src/model/diffusion/mage_flow.hpp and src/model/vae/mage_vae.hpp
in revision 2026-07). All sizes are constant, and the blocks are those of Qwen-Image.
"""

from __future__ import annotations

from harness.models.base_model import Demand, Weight, Weights
from harness.models.families.family import large_family_base
from harness.models.families.qwen_image import qwen_image
from harness.models.families.text_encoders import qwen3
from harness.models.weights import conv, linear, norm, scale

_TEXT_WIDTH, _CHANNELS, _BLOCKS = 2560, 128, 12
#: The sizes of the autoencoder: the width of its blocks, that of the first ones of the encoder, and that of a pixel.
_WIDTH, _FIRST_WIDTH, _PIXEL_WIDTH, _PATCH, _AUTOENCODER_BLOCKS = 384, 768, 32, 16, 21
#: The standard deviation of the pictures' values, of which black is -1 and white 1, and their means.
_CONTRAST, _BRIGHTNESS = 0.4, (0.1, 0.0, -0.1)


def mage_autoencoder() -> Weights:
    """Return the tensors of the autoencoder, whose decoder is a model of pixels that makes one step."""
    encoder, decoder = "student.dconv_encoder", "pipeline"
    weights: Weights = {
        **conv(f"{encoder}.patch_cond_embed", _FIRST_WIDTH, 3, _PATCH),
        **conv(f"{encoder}.proj_down", _WIDTH, _FIRST_WIDTH, 1),
        **conv(f"{encoder}.z_proj", _WIDTH, _CHANNELS, 1),
        **conv(f"{encoder}.fuse_proj", _WIDTH, 2 * _WIDTH, 1),
        **norm(f"{encoder}.norm_out", _WIDTH),
        **conv(f"{encoder}.proj_out", 2 * _CHANNELS, _WIDTH, 1),
        **conv(f"{decoder}.y_embedder_x", _PIXEL_WIDTH * _PATCH * _PATCH, _WIDTH, 1),
        **linear(f"{decoder}.x_embedder.embedder.0", _PIXEL_WIDTH, 3 + _PIXEL_WIDTH + 64),
        **conv(f"{decoder}.s_embedder.proj1", _CHANNELS, 3, _PATCH, bias=False),
        **conv(f"{decoder}.s_embedder.proj2", _WIDTH, _CHANNELS + _WIDTH, 1),
        **linear(f"{decoder}.dec_net.cond_embed", _PATCH * _PATCH * _PIXEL_WIDTH, _WIDTH),
        **linear(f"{decoder}.dec_net.input_proj", _PIXEL_WIDTH, _PIXEL_WIDTH),
        **scale(f"{decoder}.final_layer.norm.weight", _PIXEL_WIDTH),
        **linear(f"{decoder}.final_layer.linear", 3, _PIXEL_WIDTH, gain=_CONTRAST, bias=False),
        f"{decoder}.final_layer.linear.bias": Weight(shape=(3,), std=0.0, mean=_BRIGHTNESS, dtype="F32"),
        **_latent_decoder(f"{decoder}.y_embedder.decoder"),
    }
    for number in range(2):
        block = f"{encoder}.head_blocks.{number}"
        weights |= _block(block, _FIRST_WIDTH)
        weights |= norm(f"{block}.norm1", _FIRST_WIDTH) | norm(f"{block}.norm2", _FIRST_WIDTH)
    for part in (encoder, decoder):
        weights |= linear(f"{part}.t_embedder.mlp.0", _WIDTH, 256)
        weights |= linear(f"{part}.t_embedder.mlp.2", _WIDTH, _WIDTH)
        for number in range(_AUTOENCODER_BLOCKS):
            block = f"{part}.blocks.{number}"
            weights |= _block(block, _WIDTH) | linear(f"{block}.adaLN_modulation.1", 6 * _WIDTH, _WIDTH)
    for number in range(3):
        block = f"{decoder}.dec_net.res_blocks.{number}"
        weights |= norm(f"{block}.in_ln", _PIXEL_WIDTH)
        weights |= linear(f"{block}.mlp.0", _PIXEL_WIDTH, _PIXEL_WIDTH)
        weights |= linear(f"{block}.mlp.2", _PIXEL_WIDTH, _PIXEL_WIDTH)
        weights |= linear(f"{block}.adaLN_modulation.1", 3 * _PIXEL_WIDTH, _PIXEL_WIDTH)
    return weights


def _block(name: str, width: int) -> Weights:
    return {
        **conv(f"{name}.conv1", width, width, 1),
        **conv(f"{name}.conv2", width, 1, 3),
        **conv(f"{name}.conv3", width, width, 1),
        **conv(f"{name}.ca.1", width, width, 1),
        **conv(f"{name}.conv4", 4 * width, width, 1),
        **conv(f"{name}.conv5", width, 4 * width, 1),
    }


def _latent_decoder(name: str) -> Weights:
    weights: Weights = {
        **conv(f"{name}.conv_in", _WIDTH, _CHANNELS, 3),
        **norm(f"{name}.norm_out", _WIDTH),
        **conv(f"{name}.conv_out", _WIDTH, _WIDTH, 3),
    }
    for number in (0, 2, 4):
        for part in (1, 2):
            weights |= norm(f"{name}.block.{number}.norm{part}", _WIDTH)
            weights |= conv(f"{name}.block.{number}.conv{part}", _WIDTH, _WIDTH, 3)
    for number in (1, 3):
        weights |= norm(f"{name}.block.{number}.norm", _WIDTH)
        for layer in ("q", "k", "v", "proj_out"):
            weights |= conv(f"{name}.block.{number}.{layer}", _WIDTH, _WIDTH, 1)
    return weights


MAGE_FLOW = large_family_base(
    "mage-flow",
    qwen_image(gain=1.0, channels=_CHANNELS, text=_TEXT_WIDTH, blocks=_BLOCKS, dtype="TQ2_0"),
    qwen3(_TEXT_WIDTH, dtype="TQ2_0"),
    adapted=lambda name: name.startswith("transformer_blocks.0.attn."),
    autoencoder=mage_autoencoder(),
    autoencoder_role="vae",
    needs=("sizes-from-weights",),
    # A picture takes 3.2 GB.
    demand=Demand(timeout=300.0),
)
