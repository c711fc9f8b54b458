"""The tiny autoencoders of the families: TAESD, and TAEF2 for families with 32 latent channels.

Names and shapes follow github.com/madebyollin/taesd. The library requires the encoder, although no test encodes.
"""

from __future__ import annotations

from harness.models.architectures import taesd, taesd_encoder
from harness.models.base_model import Weights
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
