"""Flux with a guidance embedding and T5 as its only text encoder, narrower than CLIP-L allows.

``FLUX_GUIDED`` is Flux dev. The others have further input channels: ``FLUX_FILL`` and ``FLEX_2`` for the mask and the
masked picture, and ``FLUX_CONTROLS`` for the picture that guides it. The library makes these itself if it gets none.
"""

from __future__ import annotations

from harness.models import architectures
from harness.models.base_model import Base, Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import family_base
from harness.models.families.text_encoders import T5_WIDTH, t5, t5_targets
from harness.models.weights import linear

#: One attention head, whose size the library fixes.
_WIDTH = 128


def flux(*, inputs: int, gain: float) -> Weights:
    """Return the tensors of Flux dev with ``inputs`` input channels. ``gain`` scales the last matrix."""
    return {
        **architectures.flux(hidden=_WIDTH, head=_WIDTH, context=T5_WIDTH, gain=gain),
        **linear("img_in", _WIDTH, inputs),
        **linear("guidance_in.in_layer", _WIDTH, 256),
        **linear("guidance_in.out_layer", _WIDTH, _WIDTH),
    }


def _base(name: str, inputs: int) -> Base:
    return family_base(
        name,
        flux(inputs=inputs, gain=10.0),
        t5(),
        adapted=lambda tensor: "_blocks." in tensor and "mod" not in tensor,
        autoencoder=tiny_autoencoder(16),
        architecture="flux",
        texts={"text-t5": t5_targets()},
        # Kontext is Flux.1 with a reference picture.
        edits=inputs == 64,
    )


FLUX_GUIDED = _base("flux-guided", 64)
FLUX_FILL = _base("flux-fill", 384)
FLUX_CONTROLS = _base("flux-controls", 128)
FLEX_2 = _base("flex-2", 196)
