"""Tell which family of models an adapter or a model belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.converter import family_choice
from harness.converter.base_weights import BaseWeights
from harness.converter.modules import Layout, Module
from harness.layers import components
from harness.layers.components import CLIP_2, DIFFUSION
from harness.layers.families import FAMILIES
from harness.layers.layer import Family
from harness.layers.sd3 import SD3
from harness.layers.unet import UNET

SD1, SD2, SDXL = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "SDXL"
#: The names of families in messages, where they are not those of ``harness.layers``.
_NAMES = {"Flux.1": "FLUX.1", "Flux.2": "FLUX.2", SD3.name: "Stable Diffusion 3"}
#: The models with a UNet, by the width of the text that its cross attention takes.
_UNETS = {768: SD1, 1024: SD2, 2048: SDXL}
_CROSS_ATTENTION = re.compile(r".*attn2_to_[kv]")
#: Only SDXL has more than one transformer block in a layer.
_DEEP = re.compile(r".*transformer_blocks_[1-9]\d*_.*")


def of_model(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the family of a model with tensors of these shapes, such as "FLUX.1", or "" if it is not known."""
    weights = BaseWeights(shapes)
    if weights.family is None:
        return ""
    if weights.family is not UNET:
        return _NAMES.get(weights.family.name, weights.family.name)
    widths = {
        shape[1]
        for name, shape in shapes.items()
        if len(shape) > 1 and _CROSS_ATTENTION.fullmatch(name.replace(".", "_").removesuffix("_weight"))
    }
    rests = [components.of_model(name.removesuffix(".weight")).rest for name in shapes]
    return _unet(widths, rests, second_clip=CLIP_2 in weights.components)


def layers_of(name: str) -> Family | None:
    """Return the family whose layers a model has that messages call ``name``, or None if it is a UNet or not known."""
    return next((family for family in FAMILIES if _NAMES.get(family.name, family.name) == name), None)


def of_adapter(adapter: Layout) -> tuple[str, ...]:
    """Return the families of models that have the layers of an adapter, or nothing if they are not known.

    There are several if the names are those of several families, or if the file has too few layers to tell. Families
    in which the names have the same meaning are not repeated.
    """
    return _names(adapter, family_choice.candidates(adapter))


def _names(adapter: Layout, of: Iterable[Family]) -> tuple[str, ...]:
    """Return the names in messages of families that have the layers of an adapter."""
    named = {key: components.of_adapter(key) for key in adapter.modules}
    layers = {key: each.rest for key, each in named.items() if each.component == DIFFUSION}
    found: list[str] = []
    for family in of:
        if family is UNET:
            widths = {
                _inputs(adapter.modules[key])
                for key, rest in layers.items()
                if _CROSS_ATTENTION.fullmatch(rest)
            }
            second = any(each.component == CLIP_2 for each in named.values())
            found.append(_unet(widths, layers.values(), second_clip=second))
        else:
            found.append(_NAMES.get(family.name, family.name))
    return tuple(found)


def _unet(widths: Iterable[int], rests: Iterable[str], *, second_clip: bool) -> str:
    """Return the model with a UNet whose cross attention has these widths of text."""
    if second_clip or any(_DEEP.fullmatch(rest) for rest in rests):
        return SDXL
    known = {_UNETS[width] for width in widths if width in _UNETS}
    return known.pop() if len(known) == 1 else UNET.name.replace("SD 1, SD 2", f"{SD1}, 2.x")


def _inputs(module: Module) -> int:
    """Return the number of inputs of the layer that a module changes, or 0 if its factors do not tell."""
    for part in ("down", "hada_w1_b", "diff"):
        if part in module.parts and len(module.parts[part].shape) > 1:
            return module.parts[part].shape[1]
    shapes = {part: tensor.shape for part, tensor in module.parts.items() if len(tensor.shape) > 1}
    first = shapes.get("lokr_w1") or shapes.get("lokr_w1_b")
    second = shapes.get("lokr_w2") or shapes.get("lokr_w2_b")
    return first[1] * second[1] if first and second else 0


def mismatch(adapter: Layout, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return that an adapter is for another family than a model with tensors of these shapes, or "" if it is not.

    The answer is "" if one of the families is not known.
    """
    model = of_model(shapes)
    fitting = _names(adapter, family_choice.fitting(adapter))
    if not fitting or not model or any(fits(each, model) for each in fitting):
        return ""
    return f"a LoRA for {' or '.join(of_adapter(adapter))}; the model is {model}"


def has_unet(family: str) -> bool:
    """Return whether the diffusion model of a family is a UNet."""
    return family in {*_UNETS.values(), _unet((), (), second_clip=False)}


def fits(adapter: str, model: str) -> bool:
    """Return whether an adapter for one family may be for a model of another: some UNets cannot be told apart."""
    unclear = _unet((), (), second_clip=False)
    return adapter == model or (
        unclear in (adapter, model) and {adapter, model} <= {*_UNETS.values(), unclear}
    )
