"""The families of models. To add one, define its layers in a module of this room and add it to ``FAMILIES``."""

from __future__ import annotations

from collections.abc import Iterable

from harness.layers.components import CLIP_1, CLIP_2, SOME_CLIP
from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.layer import Family, Place, underscored
from harness.layers.other_transformers import QWEN_IMAGE, WAN, Z_IMAGE
from harness.layers.rare_transformers import HIDREAM_O1, IDEOGRAM4, LENS, LINGBOT_VIDEO, PID
from harness.layers.recent_transformers import (
    ANIMA,
    BOOGU_IMAGE,
    ERNIE_IMAGE,
    HUNYUAN_VIDEO,
    KREA2,
    LONGCAT_IMAGE,
    LTX,
    MINIT2I,
    OVIS_IMAGE,
)
from harness.layers.sd3 import SD3
from harness.layers.text_encoders import CLIP
from harness.layers.unet import UNET

__all__ = ["CLIP", "FAMILIES", "of_adapter", "of_model", "place", "with_most_layers"]

#: The families of diffusion models. A family comes before those whose layers it has too. SVD, Chroma Radiance,
#: SeFi-Image and Mage-Flow are left out: each has the names of one of these, and own layers with one name.
FAMILIES = (
    *(FLUX2, CHROMA, HUNYUAN_VIDEO, OVIS_IMAGE, FLUX, LONGCAT_IMAGE, SD3),
    *(LENS, QWEN_IMAGE, BOOGU_IMAGE, IDEOGRAM4, Z_IMAGE, ERNIE_IMAGE),
    *(ANIMA, KREA2, LINGBOT_VIDEO, WAN, LTX, MINIT2I, PID, HIDREAM_O1, UNET),
)


def of_model(names: Iterable[str]) -> Family | None:
    """Return the family of a diffusion model with layers of these names (without prefixes), or None."""
    names = [underscored(name) for name in names]
    return next((family for family in FAMILIES if family.has_mark(names)), None)


def of_adapter(names: Iterable[str]) -> Family | None:
    """Return the family whose diffusion model has most of the layers of an adapter, or None if no family has any.

    ``names`` are those of the layers, without prefixes. Families that have equally many layers are told apart by their
    marks. If none has a mark, the adapter's names mean the same layers in all of them or cannot be told apart, and the
    first of them in the order Flux.1, SD 1, SD 3 and the others is returned.
    """
    names = [underscored(name) for name in names]
    best = with_most_layers(names)
    if not best:
        return None
    return next((family for family in FAMILIES if family in best and family.has_mark(names)), best[0])


def with_most_layers(names: Iterable[str]) -> list[Family]:
    """Return the families that have the most of the layers of an adapter, the most usual first.

    There are none if no family has any of the layers. ``names`` are those of the layers, without prefixes.
    """
    names = list(names)
    counts = {family: sum(family.place(name) is not None for name in names) for family in _MOST_USUAL_FIRST}
    most = max(counts.values())
    return [family for family, count in counts.items() if count == most] if most else []


_USUAL = (FLUX, UNET, SD3)
_MOST_USUAL_FIRST = (*_USUAL, *(family for family in FAMILIES if family not in _USUAL))


def place(component: str, name: str, family: Family | None) -> Place:
    """Return the rows that a name stands for. ``family`` is that of the diffusion model.

    A name that the tables lack stands for itself.
    """
    known = CLIP if component in (CLIP_1, CLIP_2, SOME_CLIP) else family
    found = known.place(name) if known is not None else None
    return found or Place(layer=underscored(name))
