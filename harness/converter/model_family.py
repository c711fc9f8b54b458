"""Tell which family of models an adapter or a model belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.converter.base_weights import BaseWeights
from harness.converter.modules import Layout, Module
from harness.layers import components, families
from harness.layers.components import CLIP_2, DIFFUSION
from harness.layers.flux import CHROMA, FLUX
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


def of_adapter(adapter: Layout) -> tuple[str, ...]:
    """Return the families of models that have the layers of an adapter, or nothing if they are not known.

    There are several if the names are those of several families, or if the file has too few layers to tell.
    """
    named = {key: components.of_adapter(key) for key in adapter.modules}
    layers = {key: each.rest for key, each in named.items() if each.component == DIFFUSION}
    best = families.with_most_layers(layers.values())
    marked = [family for family in best if family.has_mark(layers.values())] or best
    found: list[str] = []
    for family in marked:
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
    candidates, model = of_adapter(adapter), of_model(shapes)
    if not candidates or not model or any(fits(each, model) for each in candidates):
        return ""
    return f"a LoRA for {' or '.join(candidates)}; the model is {model}"


def has_unet(family: str) -> bool:
    """Return whether the diffusion model of a family is a UNet."""
    return family in {*_UNETS.values(), _unet((), (), second_clip=False)}


def fits(adapter: str, model: str) -> bool:
    """Return whether an adapter for one family may be for a model of another."""
    unclear = _unet((), (), second_clip=False)
    some_unet = unclear in (adapter, model) and {adapter, model} <= {*_UNETS.values(), unclear}
    # An adapter of Chroma has the names of Flux.1 without the modulation.
    return adapter == model or some_unet or (adapter, model) == (_NAMES[FLUX.name], CHROMA.name)
