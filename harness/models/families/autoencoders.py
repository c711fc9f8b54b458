"""The tiny autoencoders of the families: TAESD, TAEF2 for families with 32 latent channels, and TAEHV for video.

Names and shapes follow github.com/madebyollin/taesd and github.com/madebyollin/taehv. The library requires the encoder,
although no test encodes.
"""

from __future__ import annotations

from harness.models.architectures import taesd, taesd_encoder
from harness.models.base_model import Weight, Weights
from harness.models.weights import conv, norm

_WIDTH, _POOLED = 64, 256
#: The contrast and the brightness with which the pictures of all families meet ``Calibration``; see ``taesd``.
_CONTRAST, _BRIGHTNESS = 0.07, (0.75, 0.98, 0.61)
#: The blocks of TAEF2 that also have a pooled path.
_MIDDLE = (*(f"decoder.layers.{i}" for i in (2, 3, 4)), *(f"encoder.layers.{i}" for i in (11, 12, 13)))


def tiny_autoencoder(channels: int) -> Weights:
    """Return the tensors of the autoencoder for latents of ``channels`` channels, TAEF2 if there are 32."""
    weights = taesd(channels, contrast=_CONTRAST, brightness=_BRIGHTNESS) | taesd_encoder(channels)
    if channels == 32:
        for block in _MIDDLE:
            weights |= conv(f"{block}.pool.0", _POOLED, _WIDTH, 1, bias=False)
            weights |= norm(f"{block}.pool.1", _POOLED)
            weights |= conv(f"{block}.pool.3", _WIDTH, _POOLED, 1, bias=False)
    return weights


#: The widths of TAEHV's decoder from the latent to the picture.
_VIDEO_WIDTHS = (256, 128, 64, 64)
_VIDEO_BLOCKS = 3
#: As ``_CONTRAST`` and ``_BRIGHTNESS``.
_VIDEO_CONTRAST, _VIDEO_BRIGHTNESS = 0.02, (0.5, 0.5, 0.5)


def tiny_video_autoencoder(channels: int = 16, patch: int = 1, more: tuple[int, ...] = (1, 2, 2)) -> Weights:
    """Return the tensors of TAEHV for latents of ``channels`` channels and patches of ``patch × patch`` pixels.

    Each stage of the decoder multiplies the frames by a number of ``more``; the encoder divides them by the same ones.
    """
    pixels = patch * patch
    weights = conv("decoder.1", _VIDEO_WIDTHS[0], channels, 3, gain=1.4)
    index = 3
    for stage, factor in enumerate(more):
        width = _VIDEO_WIDTHS[stage]
        for _ in range(_VIDEO_BLOCKS):
            weights |= _memory_block(f"decoder.{index}", width)
            index += 1
        index += 1  # the upsampling layer has no weights
        weights |= conv(f"decoder.{index}.conv", width * factor, width, 1, gain=1.4, bias=False)
        weights |= conv(f"decoder.{index + 1}", _VIDEO_WIDTHS[stage + 1], width, 3, gain=1.4, bias=False)
        index += 2
    last = f"decoder.{index + 1}"
    brightness = tuple(value for value in _VIDEO_BRIGHTNESS for _ in range(pixels))
    weights |= conv(last, 3 * pixels, _VIDEO_WIDTHS[-1], 3, gain=_VIDEO_CONTRAST, bias=False)
    weights[f"{last}.bias"] = Weight(shape=(3 * pixels,), std=0.0, mean=brightness, dtype="F32")
    weights |= conv("encoder.0", _WIDTH, 3 * pixels, 3)
    index = 2
    for factor in reversed(more):
        weights |= conv(f"encoder.{index}.conv", _WIDTH, _WIDTH * factor, 1, bias=False)
        weights |= conv(f"encoder.{index + 1}", _WIDTH, _WIDTH, 3, bias=False)
        index += 2
        for _ in range(_VIDEO_BLOCKS):
            weights |= _memory_block(f"encoder.{index}", _WIDTH)
            index += 1
    return weights | conv(f"encoder.{index}", channels, _WIDTH, 3)


def _memory_block(name: str, width: int) -> Weights:
    """Return a block that also sees the frame before, so that its first convolution has twice the inputs."""
    return {
        **conv(f"{name}.conv.0", width, 2 * width, 3),
        **conv(f"{name}.conv.2", width, width, 3),
        **conv(f"{name}.conv.4", width, width, 3),
    }
