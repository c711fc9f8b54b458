"""LongCat-Image: Flux without the vector of CLIP, with Qwen2.5-VL of one layer in its published width.

The library takes a Flux for it whose text embedding is 3584 wide. Names and shapes follow
github.com/meituan-longcat/LongCat-Image (longcat_image/models/longcat_image_dit.py) as the library converts them: the
diffusion model has the names of Flux.
"""

from __future__ import annotations

from harness.models import architectures
from harness.models.base_model import Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import large_family_base
from harness.models.families.text_encoders import QWEN2_WIDTH, qwen2_5_vl

#: One attention head, whose size the library fixes.
_WIDTH = 128


def longcat_image(*, gain: float) -> Weights:
    """Return the tensors of the diffusion model. ``gain`` scales the last matrix."""
    weights = architectures.flux(hidden=_WIDTH, head=_WIDTH, context=QWEN2_WIDTH, gain=gain)
    return {name: weight for name, weight in weights.items() if not name.startswith("vector_in.")}


LONGCAT_IMAGE = large_family_base(
    "longcat-image",
    longcat_image(gain=10.0),
    qwen2_5_vl(),
    adapted=lambda name: "_blocks." in name and "mod" not in name,
    autoencoder=tiny_autoencoder(16),
)
