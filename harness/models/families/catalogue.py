"""The base models of the families, by name. To add a family, add a module with its record and an entry here."""

from __future__ import annotations

from harness.models.families.boogu_image import BOOGU_IMAGE
from harness.models.families.ernie_image import ERNIE_IMAGE
from harness.models.families.flux2 import FLUX2_KLEIN
from harness.models.families.flux_t5 import FLUX_FILL, FLUX_GUIDED
from harness.models.families.minit2i import MINIT2I
from harness.models.families.ovis_image import OVIS_IMAGE
from harness.models.families.sd3 import SD3
from harness.models.families.unet import SD1_INPAINT, SD1_NARROW, SD2, SDXL
from harness.models.families.z_image import Z_IMAGE

FAMILIES = {
    base.name: base
    for base in (
        MINIT2I,
        FLUX_GUIDED,
        FLUX_FILL,
        FLUX2_KLEIN,
        OVIS_IMAGE,
        ERNIE_IMAGE,
        Z_IMAGE,
        BOOGU_IMAGE,
        SD3,
        SD1_NARROW,
        SD1_INPAINT,
        SD2,
        SDXL,
    )
}

#: Families of revision 2026-07 that no model here represents, and the reason. The numbers of parameters follow from the
#: constants in its source (src/model, src/conditioning/conditioner.hpp).
WITHOUT_MODEL = {
    "SVD": "the library builds no text encoder for it and then uses one",
    "Flux.2 dev": "as flux2-klein, with at least 48 blocks",
    "Flux Kontext": "as flux-guided, with a reference picture",
    "Flux Controls, Flex.2": "as flux-fill, with another number of input channels",
    "Chroma, Chroma Radiance": "the guidance layer has constant sizes: 262 million parameters",
    "LongCat-Image": "the width of its text encoder is constant: 575 million parameters",
    "SeFi-Image": "the tiny autoencoder does not fit its 36 latent channels",
    "Qwen-Image": "one block and the text encoder: 950 million parameters",
    "Anima": "one block and the text encoder: 390 million parameters",
    "Krea2": "at least 71 million parameters; no model has been written yet",
    "LingBot-Video, HunyuanVideo 1.5": "the library makes no picture of one frame with a tiny autoencoder",
    "Wan 2.1, Wan 2.2": "only 30 or 40 blocks of constant sizes: 1.4 billion parameters",
    "LTX-AV": "the text encoder has 48 layers of constant sizes",
    "Lens": "the text encoder has constant sizes: about 620 million parameters",
    "Ideogram 4": "constant sizes: about 2.6 billion parameters",
    "Mage-Flow, HiDream-O1, PiD": "constant sizes of billions of parameters",
}
