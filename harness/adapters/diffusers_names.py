"""Diffusers' names for the layers of transformers, and the rows that they stand for.

The names are those of ``harness.layers``, which the converter reads too.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.layers import spelling
from harness.layers.flux import FLUX, FLUX2
from harness.layers.layer import underscored
from harness.layers.other_transformers import QWEN_IMAGE, WAN, Z_IMAGE
from harness.layers.rare_transformers import SEFI_IMAGE
from harness.layers.recent_transformers import ANIMA, ERNIE_IMAGE, HUNYUAN_VIDEO, KREA2, LONGCAT_IMAGE
from harness.layers.sd3 import SD3

#: The families whose layers have names in diffusers, by the architecture of the base model.
FAMILIES = {
    "flux": FLUX,
    "flux2-klein": FLUX2,
    "sefi-image": SEFI_IMAGE,
    "sd3": SD3,
    "z-image": Z_IMAGE,
    "ernie-image": ERNIE_IMAGE,
    "krea2": KREA2,
    "longcat-image": LONGCAT_IMAGE,
    "anima": ANIMA,
    "qwen-image": QWEN_IMAGE,
    "wan": WAN,
    "hunyuan-video": HUNYUAN_VIDEO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRows:
    """The rows ``start`` to ``stop`` (exclusive) of a weight, and the stem of their tensors' names.

    If ``swapped`` is true, the first half of the adapter's rows changes the second half of these rows, and vice versa.
    """

    stem: str
    start: int
    stop: int
    swapped: bool = False


def knows(architecture: str, layer: str) -> bool:
    """Whether diffusers has a name for a layer of the published checkpoint of an architecture."""
    return bool(spelling.in_diffusers(FAMILIES[architecture], underscored(layer)))


def parts(architecture: str, layer: str, height: int) -> tuple[NamedRows, ...]:
    """Return the parts of a layer with ``height`` rows, from top to bottom, with names without a prefix.

    ``layer`` is its name in the published checkpoint. Raises KeyError if the architecture or the layer is unknown.
    """
    names = spelling.in_diffusers(FAMILIES[architecture], underscored(layer))
    if not names:
        raise KeyError(layer)
    found = []
    for name in names:
        units, take = name.units or (1,), name.take or (0,)
        swapped = len(take) > 1
        unit = height // sum(units)
        first = 0 if swapped else sum(units[: take[0]])
        last = first + sum(units[piece] for piece in take)
        found.append(NamedRows(stem=name.text, start=first * unit, stop=last * unit, swapped=swapped))
    return tuple(found)
