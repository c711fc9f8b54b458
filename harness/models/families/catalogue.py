"""The base models of the families, by name. To add a family, add a module with its record and an entry here."""

from __future__ import annotations

from harness.models.base_model import Base
from harness.models.families.anima import ANIMA
from harness.models.families.boogu_image import BOOGU_IMAGE
from harness.models.families.chroma import CHROMA
from harness.models.families.chroma_radiance import CHROMA_RADIANCE
from harness.models.families.ernie_image import ERNIE_IMAGE
from harness.models.families.flux2 import FLUX2_KLEIN
from harness.models.families.flux_t5 import FLUX_FILL, FLUX_GUIDED
from harness.models.families.ideogram4 import IDEOGRAM4
from harness.models.families.krea2 import KREA2
from harness.models.families.lens import LENS
from harness.models.families.minit2i import MINIT2I
from harness.models.families.ovis_image import OVIS_IMAGE
from harness.models.families.qwen_image import QWEN_IMAGE
from harness.models.families.sd3 import SD3, SD3_ALL
from harness.models.families.unet import SD1_INPAINT, SD1_NARROW, SD2, SDXL
from harness.models.families.wan import WAN
from harness.models.families.z_image import Z_IMAGE
from harness.models.tiny_models import SD1_TINY

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
        SD3_ALL,
        SD1_NARROW,
        SD1_INPAINT,
        SD2,
        SDXL,
        KREA2,
        CHROMA,
        CHROMA_RADIANCE,
        ANIMA,
        QWEN_IMAGE,
        WAN,
        LENS,
        IDEOGRAM4,
    )
}

#: The base models by the versions of ``harness.layers.versions`` that they represent.
OF_VERSION = {
    "SD 1": SD1_NARROW,
    "SD 1 inpainting": SD1_INPAINT,
    "SD 1 tiny": SD1_TINY,
    "SD 2": SD2,
    "SDXL": SDXL,
    "SD 3, SD 3.5": SD3,
    "Flux.1, Kontext": FLUX_GUIDED,
    "Flux Fill": FLUX_FILL,
    "Flux.2 klein": FLUX2_KLEIN,
    "Z-Image": Z_IMAGE,
    "Boogu-Image": BOOGU_IMAGE,
    "Ovis-Image": OVIS_IMAGE,
    "Ernie-Image": ERNIE_IMAGE,
    "MiniT2I": MINIT2I,
    "Krea 2": KREA2,
    "Chroma": CHROMA,
    "Chroma Radiance": CHROMA_RADIANCE,
    "Anima": ANIMA,
    "Qwen-Image": QWEN_IMAGE,
    "Wan 2.1, Wan 2.2": WAN,
    "Lens": LENS,
    "Ideogram 4": IDEOGRAM4,
}
#: Further base models of these versions, which differ in their text encoders.
FURTHER_OF_VERSION = {"SD 3, SD 3.5": (SD3_ALL,)}
#: What is not tested of versions that have a model, and the reason.
NOT_TESTED = {
    "SD 3, SD 3.5": "with the first CLIP as its only text encoder the library ends the process (SIGABRT,"
    " std::invalid_argument: Tensor concat requires same rank), and without any text encoder, too (SIGSEGV)",
}
#: Versions of revision 2026-07 that no model here represents, and the reason. The numbers of parameters follow from the
#: constants in its source (src/model, src/conditioning/conditioner.hpp).
WITHOUT_MODEL = {
    "InstructPix2Pix": "needs a picture to edit; otherwise as sd1-narrow, with 8 input channels",
    "SD 2 inpainting": "as sd2, with 9 input channels",
    "SD 2 tiny": "as sd2, with the blocks of SD 1 tiny",
    "SDXS-512": "as SD 1 tiny, with fewer transformers",
    "SDXS-09": "as SD 2 tiny, with other attention heads",
    "SDXL inpainting": "as sdxl, with 9 input channels",
    "SDXL edit": "as sdxl, with 8 input channels and a picture to edit",
    "Segmind Vega": "as sdxl, with fewer blocks",
    "SSD-1B": "as sdxl, with fewer blocks",
    "SVD": "the library builds no text encoder for it and then uses one",
    "Flux.2 dev": "as flux2-klein, with at least 48 blocks",
    "Flux Controls": "as flux-fill, with another number of input channels",
    "Flex.2": "as flux-fill, with another number of input channels",
    "LongCat-Image": "the width of its text encoder is constant: 575 million parameters",
    "SeFi-Image": "the tiny autoencoder does not fit its 36 latent channels",
    "Qwen-Image Layered": "as qwen-image, with an embedding of one more condition",
    "LingBot-Video": "the library makes no picture of one frame with a tiny autoencoder",
    "HunyuanVideo 1.5": "the library makes no picture of one frame with a tiny autoencoder",
    "Wan 2.2 I2V": "only 40 blocks of constant sizes: 14 billion parameters",
    "Wan 2.2 TI2V": "only 30 blocks of constant sizes: 5 billion parameters",
    "LTX-2": "the text encoder has 48 layers of constant sizes",
    "Mage-Flow": "12 blocks of constant sizes (src/model/diffusion/mage_flow.hpp:74): 4.1 billion parameters",
    "HiDream-O1": "constant sizes of billions of parameters",
    "PiD": "needs a picture to edit; otherwise 14 blocks and a text encoder of constant sizes: 1.4 billion parameters",
}


def models_of(version: str) -> tuple[Base, ...]:
    """Return the base models of a version of ``harness.layers.versions``, by its title; none without a model."""
    if version not in OF_VERSION:
        return ()
    return (OF_VERSION[version], *FURTHER_OF_VERSION.get(version, ()))
