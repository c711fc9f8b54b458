"""Say what a file of tensors is that has no adapter which the converter supports."""

from __future__ import annotations

import re
from collections.abc import Collection

from harness.converter import model_family
from harness.converter.base_weights import BaseWeights
from harness.converter.unsupported_kinds import unsupported
from harness.formats.tensor import File
from harness.layers.components import AUTOENCODER, CLIP_1, CLIP_2, LANGUAGE_MODEL, T5
from harness.text import plural
from sdcpp.errors import AdapterUnknown

#: Names of tensors by which other kinds of files are known, and what such a file is called.
_MARKS = (
    (re.compile(r"emb_params|string_to_param\..*|string_to_token\..*"), "a textual inversion embedding"),
    (re.compile(r"(ip_adapter|image_proj)\..*"), "an IP-Adapter"),
    (re.compile(r"(control_model|controlnet_\w+|input_hint_block)\..*"), "a ControlNet"),
    (re.compile(r"(encoder|decoder)\.(conv_in|layers\.\d|mid|down|up|\d+)\b.*"), "an autoencoder"),
    (re.compile(r"params_ema|body\.\d+\..*|model\.\d+\.sub\..*"), "an upscaler"),
)
#: The components of a model that are files of their own.
_COMPONENTS = {
    CLIP_1: "a text encoder (CLIP)",
    CLIP_2: "a text encoder (CLIP)",
    T5: "a text encoder (T5)",
    LANGUAGE_MODEL: "a language model",
    AUTOENCODER: "an autoencoder",
}


def described(file: File) -> str:
    """Return what a file is, such as "a model (FLUX.1)", or "" if it is not known. Only names and shapes are read."""
    if {"clip_l", "clip_g"} & set(file.tensors) and len(file.tensors) <= 2:
        return "a textual inversion embedding"
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    for pattern, what in _MARKS[:3]:
        if any(pattern.fullmatch(name) for name in shapes):
            return what
    family = model_family.of_model(shapes)
    if family:
        return f"a model ({family})"
    for pattern, what in _MARKS[3:]:
        if any(pattern.fullmatch(name) for name in shapes):
            return what
    components = BaseWeights(shapes).components
    return next((what for component, what in _COMPONENTS.items() if component in components), "")


def problems(file: File, keys: Collection[str]) -> list[str]:
    """Return why a file has no adapter, or which of its modules are of kinds that are not supported.

    ``keys`` are those of the modules that are understood. The list is empty if all is well.
    """
    kinds = unsupported(file.tensors.values())
    if kinds:
        return [
            f"{plural(len(kind.keys), 'module')} of the kind {kind.name}, which is not supported, "
            f"such as {kind.keys[0]}"
            for kind in kinds
        ]
    if keys:
        return []
    if not file.tensors:
        return ["the file has no tensors"]
    what = described(file)
    return [f"this is {what}, not an adapter" if what else "no tensor of an adapter was found"]


def require_adapter(file: File, keys: Collection[str]) -> None:
    """Raise AdapterUnknown with the first of the ``problems`` of a file."""
    found = problems(file, keys)
    if found:
        remedy = "use the program that it was made for" if "not supported" in found[0] else "name a LoRA"
        raise AdapterUnknown(
            found[0], file.path, f"{remedy}; sdcpp lora convert --force converts tensors as they are"
        )
