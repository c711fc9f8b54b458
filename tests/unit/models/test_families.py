from __future__ import annotations

import math

import pytest

from harness.formats.tensor import stored_bytes
from harness.models.base_model import Base
from harness.models.families.catalogue import FAMILIES

pytestmark = pytest.mark.parametrize("base", FAMILIES.values(), ids=lambda base: base.name)


def test_adapters_change_matrices_in_full_precision(base: Base) -> None:
    """Merging an adapter into a matrix of F32 loses no precision, so the reference is exact."""
    assert len(base.targets) >= FEW_TARGETS.get(base.name, 7)
    for role, tensor in base.targets.values():
        weight = base.files[role][tensor]
        assert len(weight.shape) == 2
        assert weight.dtype == "F32"


def test_a_model_takes_less_than_two_gigabytes(base: Base) -> None:
    for role, weights in base.files.items():
        stored = sum(stored_bytes(w.dtype, math.prod(w.shape)) for w in weights.values())
        assert stored < STORED.get(base.name, 2e9), role


def test_a_model_is_small(base: Base) -> None:
    parameters = sum(math.prod(w.shape) for weights in base.files.values() for w in weights.values())
    assert parameters < LARGE.get(base.name, 90e6)


#: The bytes of a file with all the layers of these.
STORED = {"wan-i2v": 4.2e9, "hidream-o1": 3.1e9}
#: The sizes of these, or of their text encoders, are constant.
LARGE = {
    "sd1-narrow": 140e6,
    "sd1-inpaint": 140e6,
    "sd1-edit": 140e6,
    "sdxs-512": 140e6,
    **dict.fromkeys(("sd2", "sd2-inpaint", "sd2-tiny"), 410e6),
    **dict.fromkeys(("sdxl", "sdxl-inpaint", "sdxl-edit", "sdxl-vega", "sdxl-ssd-1b"), 930e6),
    "sd3-all": 920e6,
    "chroma": 280e6,
    "chroma-radiance": 300e6,
    "anima": 410e6,
    "longcat-image": 600e6,
    **dict.fromkeys(("qwen-image", "qwen-image-layered"), 970e6),
    "wan": 1450e6,
    "wan-ti2v": 5020e6,
    "hunyuan-video": 880e6,
    "lens": 630e6,
    "ideogram4": 2670e6,
    "mage-flow": 4680e6,
    "wan-i2v": 14310e6,
    "hidream-o1": 8070e6,
    "ltx2": 2440e6,
    "pid": 1480e6,
}
#: The layers of the MLPs of Ideogram 4 have 680 MB in F32, so adapters change the others only; those of one attention
#: of Wan 2.2 I2V and of HiDream-O1 have 420 and 170 MB.
FEW_TARGETS = {"ideogram4": 3, "wan-i2v": 4, "hidream-o1": 4}
#: Layers that adapters do not change: SD3 has 24 blocks, and layers of reference pictures are no targets.
LEFT_OUT = {
    **dict.fromkeys(("sd3", "sd3-all"), ("joint_blocks.",)),
    "boogu-image": ("ref_image_refiner.", "context_refiner."),
}


def test_every_other_layer_of_full_precision_is_a_target(base: Base) -> None:
    changed = {tensor for _, tensor in base.targets.values()}
    for name, weight in base.files["model"].items():
        is_layer = name.startswith("model.diffusion_model.") and name.endswith(".weight")
        if weight.dtype == "F32" and is_layer and len(weight.shape) == 2 and name not in changed:
            assert name.removeprefix("model.diffusion_model.").startswith(LEFT_OUT[base.name])
