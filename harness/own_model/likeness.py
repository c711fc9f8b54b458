"""Find the cases of the harness that a module of an adapter is like: their names and dimensions decide what to expect.

An adapter of a user is not one of the harness's cases, but the library treats each of its modules as it treats the
modules of a case with the same kind, tensor type, layer and key scheme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.converter import model_family, requirements
from harness.converter.modules import Layout, Module
from harness.formats.tensor import SAFETENSORS
from harness.layers import components, families
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION, SOME_CLIP, T5
from harness.layers.flux import FLUX as FLUX_FAMILY
from harness.layers.layer import underscored
from harness.layers.unet import UNET
from harness.own_model.scheme import FLUX, SD3, scheme_of

#: The base models of the harness by family: the one of all kinds, and the one of all layers.
BASES: Mapping[str, tuple[str, str]] = {
    FLUX: ("flux-small", "flux-layers"),
    **{
        family: (base, "")
        for family, base in {
            SD3: "sd3",
            "FLUX.2": "flux2-klein",
            "Anima": "anima",
            "Boogu-Image": "boogu-image",
            "Chroma": "chroma",
            "Ernie-Image": "ernie-image",
            "HunyuanVideo": "hunyuan-video",
            "Ideogram 4": "ideogram4",
            "Krea 2": "krea2",
            "Lens": "lens",
            "LingBot-Video": "lingbot-video",
            "MiniT2I": "minit2i",
            "Ovis-Image": "ovis-image",
            "Qwen-Image": "qwen-image",
            "Wan": "wan",
            "Z-Image": "z-image",
        }.items()
    },
}
#: The base models whose cases change layers of text encoders, by component and family.
_TEXT_BASES: Mapping[tuple[str, str], str] = {
    (CLIP_1, SD3): "sd3-all",
    (SOME_CLIP, SD3): "sd3-all",
    (CLIP_2, SD3): "sd3-all",
    (T5, SD3): "sd3",
    (T5, FLUX): "flux-guided",
}
#: What cases call the layers that they change in text encoders; "text" is the first CLIP.
_TEXT_TARGETS = {CLIP_2: "text-2", T5: "text-t5"}
_UNET_BASES = ("sd1-tiny", "sd1-layers")
#: The groups of layers in ``harness.models.layered_models``, by the names of the layers in the published checkpoint.
_FLUX_GROUPS = (
    (re.compile(r".*_(query|key)_norm"), "norms"),
    (re.compile(r"double_blocks_\d+_img_.*"), "img"),
    (re.compile(r"double_blocks_\d+_txt_.*"), "txt"),
    (re.compile(r"single_blocks_.*"), "single"),
    (re.compile(r"txt_in"), "txt-in"),
    (re.compile(r"final_layer_adaLN_modulation_1"), "final-modulation"),
    (re.compile(r"img_in|(time|vector|guidance)_in_.*|final_layer_linear"), "outer"),
)
_UNET_GROUPS = (
    (re.compile(r".*_norm\d?|.*_(in|out)_layers_0|out_0"), "norms"),
    (re.compile(r"input_blocks_0_0|time_embed_\d|label_emb_.*|out_2"), "outer"),
    (re.compile(r"input_blocks_\d+_0_op|output_blocks_\d+_[12]_conv"), "samplers"),
    (re.compile(r".*_\d+_1_.*|middle_block_1_.*"), "attentions"),
    (re.compile(r".*_\d+_0_.*|middle_block_[02]_.*"), "resnets"),
)
_TEXT_NORM = re.compile(r".*layer_norm.?|.*_ln_\d|ln_final")


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeCase:
    """A case that a module is like: its name, and its dimensions but the mode.

    ``about_names`` is true for the cases of all layers. A library that does not know the name of a layer ignores the
    module, whatever else is wrong with it. ``about_model`` is true for the cases of other types of the base model: such
    a failure has nothing to do with the adapter.
    """

    name: str
    dimensions: Mapping[str, str]
    about_names: bool = False
    about_model: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleGroup:
    """Modules that are like the same cases: their number, the key of one of them, and the cases.

    ``base`` is the base model of these cases, or "" if no case is like the modules.
    """

    count: int
    example: str
    base: str
    scheme: str
    cases: tuple[LikeCase, ...]


def groups(adapter: Layout, container: str, family: str, base_kinds: Mapping[str, str]) -> list[ModuleGroup]:
    """Return the modules of an adapter in groups, the largest first.

    ``family`` is that of the model, or of the adapter if there is no model. ``base_kinds`` has the tensor type of the
    weight that a module changes, by key; without a model it is empty.
    """
    parts = _parts_of_fused(adapter)
    found: dict[tuple[object, ...], ModuleGroup] = {}
    for module in adapter.modules.values():
        place = _Placed.of(module, family)
        cases = (
            *_of_layers(module, place),
            *_plain(module, container, place),
            *_fused(module, container, place, parts),
            *_base_type(module, container, place, base_kinds.get(module.key, "")),
        )
        key = tuple((case.name, *sorted(case.dimensions.items())) for case in cases)
        before = found.get(key)
        found[key] = ModuleGroup(
            count=(before.count if before else 0) + 1,
            example=before.example if before else module.key,
            base=place.bases[0] if _is_tried(module) else "",
            scheme=place.scheme,
            cases=cases,
        )
    return sorted(found.values(), key=lambda group: -group.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Where a module belongs: the component, the name of the layer, the base models, the key scheme and the targets.

    ``targets`` is the name that cases have for the group of layers.
    """

    component: str
    layer: str
    bases: tuple[str, str]
    scheme: str
    targets: str

    @property
    def text(self) -> bool:
        return self.component != DIFFUSION

    @classmethod
    def of(cls, module: Module, family: str) -> _Placed:
        named = components.of_adapter(module.key)
        unet = model_family.has_unet(family)
        layers = UNET if unet else model_family.layers_of(family) or FLUX_FAMILY
        place = (families.CLIP if named.component != DIFFUSION else layers).place(named.rest)
        layer = place.layer if place else named.rest
        bases = _bases(named.component, family, unet=unet)
        outer = any(underscored(each) == layer for each in layers.layers if "{n}" not in each)
        targets = requirements.targets_of(module)
        if named.component == DIFFUSION and not bases[1] and outer:
            targets = "outer"
        return cls(
            component=named.component,
            layer=layer,
            bases=bases,
            scheme=scheme_of(module, named.component, named.rest, family=family, unet=unet),
            targets=_TEXT_TARGETS.get(named.component, targets),
        )

    @property
    def group(self) -> str:
        """The group of layers that the layer belongs to, or ""."""
        if self.text:
            return "text-norms" if _TEXT_NORM.fullmatch(self.layer) else "text"
        known = _FLUX_GROUPS if self.bases[0] == "flux-small" else _UNET_GROUPS
        return next((group for pattern, group in known if pattern.fullmatch(self.layer)), "")


def _bases(component: str, family: str, *, unet: bool) -> tuple[str, str]:
    """Return the base models of a component. A second CLIP without a known family is SDXL's."""
    text = _TEXT_BASES.get((component, family))
    if text or component not in (DIFFUSION, CLIP_1, SOME_CLIP):
        return text or ("sdxl" if component == CLIP_2 else ""), ""
    return _UNET_BASES if unet else BASES.get(family, ("", ""))


def _of_layers(module: Module, place: _Placed) -> Iterator[LikeCase]:
    """Yield the case of all layers of the module's group, if there is one."""
    norms = place.group.endswith("norms")
    if not place.bases[1] or not place.group or module.kind not in ("lora", "full", "bias"):
        return
    # No case has a LoRA of txt_in, but the name of the layer is that of its bias.
    vectors = "-biases" if place.group == "txt-in" or (module.kind == "bias" and not norms) else ""
    yield LikeCase(
        name=f"layers-{place.group}{vectors}-{place.scheme}-safetensors-F32",
        dimensions={
            "base": place.bases[1],
            "container": "safetensors",
            "type": "F32",
            "kind": _kind(module),
            "scheme": place.scheme,
            "targets": place.group,
            "rank": "4",
            "multiplier": "1",
        },
        about_names=True,
    )


def _plain(module: Module, container: str, place: _Placed) -> Iterator[LikeCase]:
    """Yield the cases of the module's kind, type and rank."""
    for kind in dict.fromkeys((requirements.type_of(module), _usual_type(module))):
        yield _case(module, container, kind, place, place.scheme)
    if _is_kernel_of_matrix(module, place):
        yield _named("lora-kernels", module, container, place)
    if "up_bias" in module.parts:
        yield _named("lora-factor-bias", module, container, place)
    if (alpha := module.parts.get("alpha")) and alpha.kind == "BF16":
        yield _named("lora-alpha-bf16", module, container, place)


def _is_kernel_of_matrix(module: Module, place: _Placed) -> bool:
    """Return whether a module has kernels of 1 x 1 for a layer that is linear in every model."""
    if module.kind != "lora" or requirements.targets_of(module) != "conv1x1":
        return False
    return place.bases[0] == "flux-small" or (place.group == "attentions" and "_proj_" not in place.layer)


def _named(name: str, module: Module, container: str, place: _Placed) -> LikeCase:
    kind = requirements.type_of(module)
    case = _case(module, container, kind, place, place.scheme)
    return LikeCase(name=f"{name}-{container}-{kind}", dimensions=case.dimensions)


def _case(module: Module, container: str, kind: str, place: _Placed, scheme: str) -> LikeCase:
    """Return the case of a module with factors of this type, under this scheme."""
    where = "" if place.targets == "linear" else f"{place.targets}-"
    rank = "r1-" if module.rank == 1 else ""
    named = _kind(module)
    return LikeCase(
        name=f"{named}-{where}{rank}{container}-{kind}",
        dimensions={
            "base": place.bases[0],
            "container": container,
            "type": kind,
            "kind": named,
            "scheme": scheme,
            "targets": place.targets,
            "rank": "" if module.rank is None else str(module.rank),
            "multiplier": "1",
        },
    )


def _kind(module: Module) -> str:
    """Return the kind of a module in cases. Magnitudes for each input are a kind of their own."""
    kind = requirements.kind_of(module)
    return "dora-in" if kind == "dora" and not module.dora_per_output else kind


def _usual_type(module: Module) -> str:
    """Return Q8_0 for a quantised module: the cases of most kinds have no other quantised type."""
    kind = requirements.type_of(module)
    return kind if kind in SAFETENSORS else "Q8_0"


def _is_tried(module: Module) -> bool:
    """Return whether any case has factors of this type. None has the types of 8 bits, integers or F64."""
    kind = requirements.type_of(module)
    return kind in ("F32", "F16", "BF16") or kind not in SAFETENSORS


def _parts_of_fused(adapter: Layout) -> Mapping[str, frozenset[int]]:
    """Return which pieces of each fused layer of Flux the modules of an adapter have, by the name of the layer."""
    found: dict[str, frozenset[int]] = {}
    for key in adapter.modules:
        named = components.of_adapter(key)
        place = FLUX_FAMILY.place(named.rest) if named.component == DIFFUSION else None
        if place and place.take and len(place.units) > 2:
            found[place.layer] = found.get(place.layer, frozenset()) | set(place.take)
    return found


def _fused(
    module: Module, container: str, place: _Placed, parts: Mapping[str, frozenset[int]]
) -> Iterator[LikeCase]:
    """Yield the case of an adapter that has some pieces of a fused layer of Flux, if the module is such a piece."""
    have = parts.get(place.layer) if place.bases[0] == "flux-small" else None
    number = 4 if "linear1" in place.layer else 3
    if have is None or len(have) == number:
        return
    leading = have == frozenset(range(len(have)))
    scheme = "diffusers-flux-qv"
    if leading:
        scheme = "diffusers-flux-q" if len(have) == 1 else "diffusers-flux-attention"
    for kind in dict.fromkeys((requirements.type_of(module), _usual_type(module))):
        yield _case(module, container, kind, place, scheme)


def _base_type(module: Module, container: str, place: _Placed, base_kind: str) -> Iterator[LikeCase]:
    """Yield the case of an adapter on a base model whose weights have a tensor type other than F32 and F16."""
    if not base_kind or base_kind in ("F32", "F16", "F64") or base_kind.startswith("F8"):
        return
    kind = _usual_type(module)
    yield LikeCase(
        name=f"base-{base_kind}-{container}-{kind}",
        dimensions={
            "base": place.bases[0],
            "base type": base_kind,
            "container": container,
            "type": kind,
            "rank": "32",
        },
        about_model=True,
    )
