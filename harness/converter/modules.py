"""Group the tensors of an adapter file into modules, and find the kind of each module and the naming convention.

The names follow kohya-ss/sd-scripts (networks/lora.py), huggingface/peft and diffusers
(loaders/lora_conversion_utils.py), and KohakuBlueleaf/LyCORIS (lycoris/modules).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.converter.declared_scale import DeclaredScale, DeclaredScales
from harness.converter.dropped_axes import restored
from harness.formats.tensor import File, Tensor
from harness.layers import components, families
from harness.layers.components import DIFFUSION

#: The suffixes of tensor names, and the part of the module that such a tensor is. The first matching suffix is used.
KEY_SUFFIXES = {
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    "_lora.alpha": "alpha",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A": "down",
    ".lora_B": "up",
    ".lora_down": "down",
    ".lora_up": "up",
    ".alpha": "alpha",
    ".scale": "scale",
    ".dora_scale": "dora",
    ".lora_magnitude_vector.weight": "dora",
    ".lora_magnitude_vector": "dora",
    ".magnitude": "dora",
    ".diff_b": "diff_b",
    ".diff": "diff",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
    ".set_weight": "new_weight",
    ".lora_linear_layer.up.bias": "up_bias",
    ".lora_B.default.bias": "up_bias",
    "_lora.up.bias": "up_bias",
    ".lora.up.bias": "up_bias",
    ".lora_up.bias": "up_bias",
    ".lora_B.bias": "up_bias",
    **{
        f".{name}": name
        for name in (
            "hada_w1_a",
            "hada_w1_b",
            "hada_w2_a",
            "hada_w2_b",
            "hada_t1",
            "hada_t2",
            "lokr_w1",
            "lokr_w1_a",
            "lokr_w1_b",
            "lokr_w2",
            "lokr_w2_a",
            "lokr_w2_b",
            "lokr_t2",
        )
    },
}
#: The prefixes of tensor names that identify a naming convention.
_SCHEMES = (
    ("lora_unet_", "kohya"),
    ("lora_te", "kohya"),
    ("lora_transformer_", "kohya"),
    ("lycoris_", "lycoris"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The tensors that change one layer, by part ("up", "down", "alpha" and so on).

    ``key`` is the common prefix of their names. ``kind`` is "lora", "tucker", "loha", "lokr", "full", "bias", or
    "replaced" for a layer whose weight or bias is stored anew. It is "incomplete" if a part is missing; ``missing`` is
    then the name of that part. ``declared`` is the scale that the metadata declare, if they do.
    """

    key: str
    parts: Mapping[str, Tensor]
    kind: str
    missing: str = ""
    declared: DeclaredScale | None = None

    @property
    def rank(self) -> int | None:
        """The rank of the factors, or None if the module has no such factors."""
        for part, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0)):
            if part in self.parts and self.parts[part].shape:
                return self.parts[part].shape[axis]
        return None

    @property
    def dora(self) -> bool:
        """Whether the module is a DoRA, which has magnitudes (https://arxiv.org/abs/2402.09353)."""
        return "dora" in self.parts

    @property
    def dora_per_output(self) -> bool:
        """Whether there is a magnitude for each output: always under PEFT's name, otherwise by the shape."""
        magnitude = self.parts["dora"]
        shape = magnitude.shape
        per_input = len(shape) > 1 and shape[0] == 1 and shape[1] > 1
        return "lora_magnitude_vector" in magnitude.name or not per_input

    @property
    def convolution(self) -> bool:
        """Whether the module changes the weight of a convolution."""
        return any(len(t.shape) > 2 for name, t in self.parts.items() if name not in ("alpha", "dora"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The modules of a file by key, and the tensors that belong to no module."""

    modules: Mapping[str, Module]
    other_tensors: tuple[Tensor, ...]


#: The names of XLabs' x-flux. In a double block the key ends in the number of the stream (src/flux/modules/layers.py).
_XLABS = re.compile(r"(.+\.processor\.(?:qkv|proj)_lora[12]?)\.(down|up)\.weight")


def split(name: str) -> tuple[str, str] | None:
    """Return the key and the part of a tensor name, or None if it is not the name of an adapter's tensor."""
    if xlabs := _XLABS.fullmatch(name):
        return xlabs[1], xlabs[2]
    for suffix, part in KEY_SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], part
    return None


def layout(tensors: Iterable[Tensor]) -> Layout:
    """Return the modules of a file's tensors, without the scales that metadata declare (see ``layout_of``)."""
    groups: dict[str, dict[str, Tensor]] = {}
    others = []
    for tensor in tensors:
        key_and_part = split(tensor.name)
        if key_and_part is None:
            others.append(tensor)
        else:
            key, part = key_and_part
            groups.setdefault(key, {})[part] = tensor
    for key in [key for key, parts in groups.items() if set(parts) == {"scale"}]:
        # A norm of Flux has a weight of this name, and no program stores the scale of a module alone.
        others.append(groups.pop(key)["scale"])
    unknown = []
    for tensor in others:
        replaced = _replaced(tensor.name) if groups else None
        if replaced is None or replaced[1] in groups.get(replaced[0], {}):
            unknown.append(tensor)
        else:
            groups.setdefault(replaced[0], {})[replaced[1]] = tensor
    modules = {key: _module(key, restored(parts)) for key, parts in groups.items()}
    return Layout(modules=modules, other_tensors=tuple(unknown))


def layout_of(file: File) -> Layout:
    """Return the modules of a file, with the scales that its metadata or the configuration beside it declare."""
    found = layout(file.tensors.values())
    scales = DeclaredScales(file)
    modules = {}
    for key, module in found.modules.items():
        names = tuple(tensor.name for tensor in module.parts.values())
        kernel = any(max(t.shape[2:], default=1) > 1 for t in module.parts.values())
        declared = scales.of(key, names, kernel=kernel) if module.kind in _SCALED else None
        modules[key] = replace(module, declared=declared)
    return replace(found, modules=modules)


#: The kinds whose change is multiplied by alpha / rank.
_SCALED = frozenset({"lora", "tucker", "loha", "lokr"})


def _replaced(name: str) -> tuple[str, str] | None:
    """Return the key and the part of a tensor that replaces one of a known layer, or None for any other tensor.

    Flux's control LoRAs replace norms, and PEFT stores the layers of ``modules_to_save`` like this.
    """
    for end, part in ((".weight", "new_weight"), (".scale", "new_weight"), (".bias", "new_bias")):
        if name.endswith(end):
            key = name.removesuffix(end)
            found = components.of_adapter(key)
            known = families.CLIP.place(found.rest) if found.component != DIFFUSION else None
            if known or any(family.place(found.rest) for family in families.FAMILIES):
                return key, part
    return None


def _module(key: str, parts: dict[str, Tensor]) -> Module:
    """Return the module of these parts, with its kind."""
    names = set(parts)
    if names & {"up", "down", "mid"}:
        kind, needed = ("tucker" if "mid" in names else "lora"), [{"up"}, {"down"}]
    elif any(name.startswith("hada") for name in names):
        kind, needed = "loha", [{f"hada_w{i}_{part}"} for i in (1, 2) for part in "ab"]
    elif any(name.startswith("lokr") for name in names):
        kind = "lokr"
        needed = [{f"lokr_w{i}", f"lokr_w{i}_a"} for i in (1, 2)]
        needed += [{f"lokr_w{i}", f"lokr_w{i}_b"} for i in (1, 2)]
    elif "diff" in names:
        kind, needed = "full", []
    elif "diff_b" in names or names == {"up_bias"}:
        kind, needed = "bias", []
    elif names <= {"new_weight", "new_bias"}:
        kind, needed = "replaced", []
    else:
        kind, needed = "incomplete", [{"up"}, {"down"}]
    missing = next((sorted(options)[0] for options in needed if not options & names), "")
    return Module(key=key, parts=parts, kind="incomplete" if missing else kind, missing=missing)


def scheme(names: Iterable[str]) -> str:
    """Return the naming convention of most tensor names: kohya, lycoris, peft, diffusers (old), dotted or unknown."""
    counts: dict[str, int] = {}
    for name in names:
        counts[_scheme(name)] = counts.get(_scheme(name), 0) + 1
    return max(counts, key=lambda convention: counts[convention]) if counts else "unknown"


def _scheme(name: str) -> str:
    """Return the naming convention of a tensor name."""
    for prefix, convention in _SCHEMES:
        if name.startswith(prefix):
            return convention
    if split(name) is None:
        return "unknown"
    if ".lora_A" in name or ".lora_B" in name:
        return "peft"
    if "_lora." in name or ".lora." in name or "lora_linear_layer" in name:
        return "diffusers"
    return "dotted"
