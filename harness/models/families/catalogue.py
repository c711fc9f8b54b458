"""The base models of the families, by name. To add a family, add a module with its record and an entry here."""

from __future__ import annotations

from harness.models.base_model import Base
from harness.models.families.anima import ANIMA
from harness.models.families.boogu_image import BOOGU_IMAGE
from harness.models.families.chroma import CHROMA
from harness.models.families.chroma_radiance import CHROMA_RADIANCE
from harness.models.families.ernie_image import ERNIE_IMAGE
from harness.models.families.flux2 import FLUX2_DEV, FLUX2_KLEIN
from harness.models.families.flux_t5 import FLEX_2, FLUX_CONTROLS, FLUX_FILL, FLUX_GUIDED
from harness.models.families.hidream_o1 import HIDREAM_O1
from harness.models.families.hunyuan_video import HUNYUAN_VIDEO
from harness.models.families.ideogram4 import IDEOGRAM4
from harness.models.families.krea2 import KREA2
from harness.models.families.lens import LENS
from harness.models.families.lingbot_video import LINGBOT_VIDEO
from harness.models.families.longcat_image import LONGCAT_IMAGE
from harness.models.families.ltx2 import LTX2
from harness.models.families.mage_flow import MAGE_FLOW
from harness.models.families.minit2i import MINIT2I
from harness.models.families.ovis_image import OVIS_IMAGE
from harness.models.families.pid import PID
from harness.models.families.qwen_image import QWEN_IMAGE, QWEN_IMAGE_LAYERED
from harness.models.families.sd3 import SD3, SD3_ALL
from harness.models.families.sefi_image import SEFI_IMAGE
from harness.models.families.unet import (
    SD1_EDIT,
    SD1_INPAINT,
    SD1_NARROW,
    SD2,
    SD2_INPAINT,
    SD2_TINY,
    SDXL,
    SDXL_EDIT,
    SDXL_INPAINT,
    SDXL_SSD_1B,
    SDXL_VEGA,
    SDXS_512,
)
from harness.models.families.wan import WAN, WAN_I2V, WAN_TI2V
from harness.models.families.z_image import Z_IMAGE
from harness.models.tiny_models import SD1_TINY

FAMILIES = {
    base.name: base
    for base in (
        MINIT2I,
        FLUX_GUIDED,
        FLUX_FILL,
        FLUX_CONTROLS,
        FLEX_2,
        FLUX2_KLEIN,
        FLUX2_DEV,
        SEFI_IMAGE,
        OVIS_IMAGE,
        ERNIE_IMAGE,
        Z_IMAGE,
        BOOGU_IMAGE,
        SD3,
        SD3_ALL,
        SD1_NARROW,
        SD1_INPAINT,
        SD1_EDIT,
        SDXS_512,
        SD2,
        SD2_INPAINT,
        SD2_TINY,
        SDXL,
        SDXL_INPAINT,
        SDXL_EDIT,
        SDXL_VEGA,
        SDXL_SSD_1B,
        KREA2,
        CHROMA,
        CHROMA_RADIANCE,
        ANIMA,
        LONGCAT_IMAGE,
        QWEN_IMAGE,
        QWEN_IMAGE_LAYERED,
        WAN,
        WAN_TI2V,
        WAN_I2V,
        LINGBOT_VIDEO,
        HUNYUAN_VIDEO,
        LENS,
        IDEOGRAM4,
        MAGE_FLOW,
        HIDREAM_O1,
        LTX2,
        PID,
    )
}
#: Base models whose layers have the names of those of another base model of the same architecture, so that they need
#: fewer cases.
RELATIVES = frozenset(
    base.name
    for base in (
        *(FLUX_CONTROLS, FLEX_2, FLUX2_DEV, QWEN_IMAGE_LAYERED, SD1_EDIT, SDXS_512, SD2_INPAINT, SD2_TINY),
        *(WAN_TI2V, WAN_I2V, SDXL_INPAINT, SDXL_EDIT, SDXL_VEGA, SDXL_SSD_1B),
    )
)

#: The base models by the versions of ``harness.layers.versions`` that they represent.
OF_VERSION = {
    "SD 1": SD1_NARROW,
    "SD 1 inpainting": SD1_INPAINT,
    "InstructPix2Pix": SD1_EDIT,
    "SD 1 tiny": SD1_TINY,
    "SDXS-512": SDXS_512,
    "SD 2": SD2,
    "SD 2 inpainting": SD2_INPAINT,
    "SD 2 tiny": SD2_TINY,
    "SDXL": SDXL,
    "SDXL inpainting": SDXL_INPAINT,
    "SDXL edit": SDXL_EDIT,
    "Segmind Vega": SDXL_VEGA,
    "SSD-1B": SDXL_SSD_1B,
    "SD 3, SD 3.5": SD3,
    "Flux.1, Kontext": FLUX_GUIDED,
    "Flux Fill": FLUX_FILL,
    "Flux Controls": FLUX_CONTROLS,
    "Flex.2": FLEX_2,
    "Flux.2 dev": FLUX2_DEV,
    "Flux.2 klein": FLUX2_KLEIN,
    "SeFi-Image": SEFI_IMAGE,
    "Z-Image": Z_IMAGE,
    "Boogu-Image": BOOGU_IMAGE,
    "Ovis-Image": OVIS_IMAGE,
    "Ernie-Image": ERNIE_IMAGE,
    "MiniT2I": MINIT2I,
    "Krea 2": KREA2,
    "Chroma": CHROMA,
    "Chroma Radiance": CHROMA_RADIANCE,
    "Anima": ANIMA,
    "LongCat-Image": LONGCAT_IMAGE,
    "Qwen-Image": QWEN_IMAGE,
    "Qwen-Image Layered": QWEN_IMAGE_LAYERED,
    "Wan 2.1, Wan 2.2": WAN,
    "Wan 2.2 I2V": WAN_I2V,
    "Wan 2.2 TI2V": WAN_TI2V,
    "LingBot-Video": LINGBOT_VIDEO,
    "HunyuanVideo 1.5": HUNYUAN_VIDEO,
    "Lens": LENS,
    "Ideogram 4": IDEOGRAM4,
    "Mage-Flow": MAGE_FLOW,
    "HiDream-O1": HIDREAM_O1,
    "LTX-2": LTX2,
    "PiD": PID,
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
    "SDXS-09": "two runs of the library gave different pictures with a random model of its sizes; the self-attention of"
    " its first level takes 1024 numbers of each token, which has 320 (CrossAttention in block.hpp)",
    "SVD": "the library builds no text encoder for it and then uses one",
}


def models_of(version: str) -> tuple[Base, ...]:
    """Return the base models of a version of ``harness.layers.versions``, by its title; none without a model."""
    if version not in OF_VERSION:
        return ()
    return (OF_VERSION[version], *FURTHER_OF_VERSION.get(version, ()))
