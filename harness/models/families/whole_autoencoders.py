"""The whole autoencoders of Flux.2, Wan 2.1 and HunyuanVideo 1.5, for families whose latents no tiny one decodes.

Names and shapes follow github.com/CompVis/latent-diffusion (ldm/modules/diffusionmodules/model.py), the checkpoints of
Wan-AI/Wan2.1-T2V-1.3B and of tencent/HunyuanVideo-1.5 in ComfyUI's format. No test encodes. The encoders, which the
library requires of the first two, and both of the last one have constant widths.
"""

from __future__ import annotations

from harness.models.base_model import Weight, Weights
from harness.models.weights import conv, norm, prefixed, scale

#: The standard deviation and the mean of the pictures' values, of which black is -1 and white 1. With these the
#: pictures of all families here meet ``Calibration``.
_CONTRAST, _BRIGHTNESS = 0.55, 0.0
#: The widths of each stage from the picture to the latent, in units of the first.
_STAGES = (1, 2, 4, 4)
#: The width at the picture of Flux.2's encoder, which is constant, and of its decoder, which is read from the weights.
_ENCODER_WIDTH, _DECODER_WIDTH, _FLUX2_CHANNELS = 128, 32, 32
_WAN_WIDTH, _WAN_CHANNELS = 96, 16
#: The widths of HunyuanVideo's decoder from the latent to the picture. The first two upsampling layers also make
#: several frames of one.
_HUNYUAN_WIDTHS, _HUNYUAN_CHANNELS = (1024, 1024, 512, 256, 128), 32


def flux2_autoencoder() -> Weights:
    """Return the tensors of the autoencoder of Flux.2."""
    channels = _FLUX2_CHANNELS
    weights = conv("quant_conv", 2 * channels, 2 * channels, 1) | conv(
        "post_quant_conv", channels, channels, 1
    )
    width = _ENCODER_WIDTH
    weights |= conv("encoder.conv_in", width, 3, 3)
    for stage, multiple in enumerate(_STAGES):
        for number in range(2):
            out = _ENCODER_WIDTH * multiple
            weights |= _residual(f"encoder.down.{stage}.block.{number}", width, out)
            width = out
        if stage < len(_STAGES) - 1:
            weights |= conv(f"encoder.down.{stage}.downsample.conv", width, width, 3)
    weights |= _middle("encoder.mid", width) | norm("encoder.norm_out", width)
    weights |= conv("encoder.conv_out", 2 * channels, width, 3)
    width = _DECODER_WIDTH * _STAGES[-1]
    weights |= conv("decoder.conv_in", width, channels, 3) | _middle("decoder.mid", width)
    for stage, multiple in reversed(tuple(enumerate(_STAGES))):
        for number in range(3):
            out = _DECODER_WIDTH * multiple
            weights |= _residual(f"decoder.up.{stage}.block.{number}", width, out)
            width = out
        if stage:
            weights |= conv(f"decoder.up.{stage}.upsample.conv", width, width, 3)
    return (
        weights
        | norm("decoder.norm_out", width)
        | _last(conv("decoder.conv_out", 3, width, 3, gain=_CONTRAST))
    )


def _middle(name: str, width: int) -> Weights:
    weights = _residual(f"{name}.block_1", width, width) | _residual(f"{name}.block_2", width, width)
    weights |= norm(f"{name}.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        weights |= conv(f"{name}.attn_1.{part}", width, width, 1)
    return weights


def _residual(name: str, inner: int, out: int) -> Weights:
    weights = norm(f"{name}.norm1", inner) | conv(f"{name}.conv1", out, inner, 3)
    weights |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out, 3)
    return weights | (conv(f"{name}.nin_shortcut", out, inner, 1) if inner != out else {})


def wan_autoencoder() -> Weights:
    """Return the tensors of the autoencoder of Wan 2.1 for single frames, whose convolutions have two axes only."""
    channels, widths = _WAN_CHANNELS, [_WAN_WIDTH * multiple for multiple in _STAGES]
    weights = conv("conv1", 2 * channels, 2 * channels, 1) | conv("conv2", channels, channels, 1)
    width, index = _WAN_WIDTH, 0
    weights |= conv("encoder.conv1", width, 3, 3)
    for stage, out in enumerate(widths):
        for _ in range(2):
            weights |= _wan_residual(f"encoder.downsamples.{index}", width, out)
            width, index = out, index + 1
        if stage < len(widths) - 1:
            weights |= conv(f"encoder.downsamples.{index}.resample.1", width, width, 3)
            index += 1
    weights |= _wan_middle("encoder.middle", width) | scale("encoder.head.0.gamma", width)
    weights |= conv("encoder.head.2", 2 * channels, width, 3)
    index = 0
    weights |= conv("decoder.conv1", width, channels, 3) | _wan_middle("decoder.middle", width)
    for stage, out in enumerate(reversed(widths)):
        for _ in range(3):
            weights |= _wan_residual(f"decoder.upsamples.{index}", width, out)
            width, index = out, index + 1
        if stage < len(widths) - 1:
            weights |= conv(f"decoder.upsamples.{index}.resample.1", width // 2, width, 3)
            width, index = width // 2, index + 1
    weights |= scale("decoder.head.0.gamma", width)
    return weights | _last(conv("decoder.head.2", 3, width, 3, gain=_CONTRAST))


def _wan_middle(name: str, width: int) -> Weights:
    weights = _wan_residual(f"{name}.0", width, width) | _wan_residual(f"{name}.2", width, width)
    weights |= scale(f"{name}.1.norm.gamma", width)
    return weights | conv(f"{name}.1.to_qkv", 3 * width, width, 1) | conv(f"{name}.1.proj", width, width, 1)


def _wan_residual(name: str, inner: int, out: int) -> Weights:
    weights = scale(f"{name}.residual.0.gamma", inner) | conv(f"{name}.residual.2", out, inner, 3)
    weights |= scale(f"{name}.residual.3.gamma", out) | conv(f"{name}.residual.6", out, out, 3)
    return weights | (conv(f"{name}.shortcut", out, inner, 1) if inner != out else {})


def hunyuan_autoencoder() -> Weights:
    """Return the tensors of the decoder of HunyuanVideo 1.5. The library does not require the encoder."""
    widths = _HUNYUAN_WIDTHS
    width = widths[0]
    weights = _conv3d("conv_in.conv", width, _HUNYUAN_CHANNELS, 3)
    for number in (1, 2):
        weights |= _hunyuan_residual(f"mid.block_{number}", width, width)
    weights |= scale("mid.attn_1.norm.gamma", width)
    for part in ("q", "k", "v", "proj_out"):
        weights |= _conv3d(f"mid.attn_1.{part}", width, width, 1)
    for stage, out in enumerate(widths):
        for number in range(3):
            weights |= _hunyuan_residual(f"up.{stage}.block.{number}", width, out)
            width = out
        if stage < len(widths) - 1:
            pieces, width = 8 if stage < 2 else 4, widths[stage + 1]
            weights |= _conv3d(f"up.{stage}.upsample.conv.conv", pieces * width, out, 3)
    weights |= scale("norm_out.gamma", width)
    return prefixed("decoder.", weights | _last(_conv3d("conv_out.conv", 3, width, 3, gain=_CONTRAST)))


def _hunyuan_residual(name: str, inner: int, out: int) -> Weights:
    weights = scale(f"{name}.norm1.gamma", inner) | _conv3d(f"{name}.conv1.conv", out, inner, 3)
    weights |= scale(f"{name}.norm2.gamma", out) | _conv3d(f"{name}.conv2.conv", out, out, 3)
    return weights | (_conv3d(f"{name}.nin_shortcut.conv", out, inner, 1) if inner != out else {})


def _conv3d(name: str, out: int, inner: int, size: int, *, gain: float = 1.0) -> Weights:
    kernel = (size,) * 3
    return {
        f"{name}.weight": Weight(shape=(out, inner, *kernel), std=gain / (inner * size**3) ** 0.5),
        f"{name}.bias": Weight(shape=(out,), std=0.02, dtype="F32"),
    }


def _last(weights: Weights) -> Weights:
    """Return the tensors of the last convolution with the brightness as its bias."""
    return {
        name: Weight(shape=weight.shape, std=0.0, mean=_BRIGHTNESS, dtype="F32")
        if name.endswith(".bias")
        else weight
        for name, weight in weights.items()
    }
