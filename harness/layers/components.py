"""The component of a model that a name belongs to: the diffusion model, one of the text encoders, the autoencoder.

The prefixes of adapters follow sd-scripts, OneTrainer, diffusers, PEFT, LyCORIS, VideoX-Fun and ComfyUI. Those of
models follow the published checkpoints and stable-diffusion.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.layers.layer import underscored

DIFFUSION = "diffusion model"
#: The first CLIP: CLIP-L, or the only one of the model.
CLIP_1 = "text encoder 1"
#: The second CLIP, CLIP-G.
CLIP_2 = "text encoder 2"
#: A CLIP of a name that does not tell which one.
SOME_CLIP = "text encoder"
T5 = "text encoder T5"
LANGUAGE_MODEL = "language model"
AUTOENCODER = "autoencoder"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentName:
    """The component that a name belongs to, and the rest of the name."""

    component: str
    rest: str


#: The prefixes of text encoders in adapters, and the CLIP that they mean. T5 and language models are told by the rest.
_TEXT_PREFIXES = {
    "lora_te1_": CLIP_1,
    "lora_te2_": CLIP_2,
    "lora_te3_": "text encoder 3",
    "lora_te_": CLIP_1,
    "text_encoder_2.": CLIP_2,
    "text_encoder_3.": "text encoder 3",
    "text_encoder.": CLIP_1,
}
#: The prefixes of the diffusion model in adapters that no other component has.
_DIFFUSION_PREFIXES = (
    "lora_unet__",
    "lora_unet_",
    "lora_transformer_",
    "oft_unet_",
    "model.diffusion_model.net.",
    "model.diffusion_model.",
    "diffusion_model.net.",
    "diffusion_model.",
    "pipe.dit.",
    "unet.",
    "transformer.",
    "net.",
)
#: The prefixes that any component may have.
_GENERAL_PREFIXES = ("base_model.model.", "lycoris_")
#: The prefixes of tensor names in models.
_MODEL_PREFIXES = {
    # Anima and PiD have one more part, which adapters mostly omit.
    "model.diffusion_model.net.": DIFFUSION,
    "net.": DIFFUSION,
    "model.diffusion_model.": DIFFUSION,
    "diffusion_model.": DIFFUSION,
    "cond_stage_model.1.transformer.": CLIP_2,
    "cond_stage_model.1.model.": CLIP_2,
    "cond_stage_model.transformer.": CLIP_1,
    "cond_stage_model.model.": CLIP_1,
    "conditioner.embedders.0.transformer.": CLIP_1,
    "conditioner.embedders.0.model.": CLIP_1,
    "conditioner.embedders.1.transformer.": CLIP_2,
    "conditioner.embedders.1.model.": CLIP_2,
    "text_encoders.clip_l.transformer.": CLIP_1,
    "text_encoders.clip_h.transformer.": CLIP_1,
    "text_encoders.clip_g.transformer.": CLIP_2,
    "text_encoders.t5xxl.transformer.": T5,
    "text_encoders.": LANGUAGE_MODEL,
    "first_stage_model.": AUTOENCODER,
    "vae.": AUTOENCODER,
}
#: HiDream-O1 is a language model with further layers. All names in its file have the prefix of a language model.
_PREFIX_OF_HIDREAM_O1 = re.compile(r"^model_(?=(language_model|t_embedder1|x_embedder|final_layer2)_)")
#: What the names of each sort of text encoder begin with, with underscores in place of dots.
_CONTENT = (
    (re.compile(r"text_model_|encoder_layers_\d+_|transformer_resblocks_|text_projection"), SOME_CLIP),
    (re.compile(r"encoder_block_\d+_|encoder_final_layer_norm|shared(_|$)"), T5),
    (re.compile(r"model_layers_\d+_|model_embed_tokens"), LANGUAGE_MODEL),
)
#: Names that diffusers 0.11 to 0.17 used for adapters of attention (loaders.py), and the names of the layers.
_OLD_NAMES = (
    (re.compile(r"_processor_to_([qkv])$"), r"_to_\1"),
    (re.compile(r"_processor_to_out$"), "_to_out_0"),
)
#: The same for text encoders.
_OLD_TEXT_NAMES = (
    (re.compile(r"_self_attn_to_([qkv])$"), r"_self_attn_\1_proj"),
    (re.compile(r"_self_attn_to_out$"), "_self_attn_out_proj"),
)


def of_adapter(key: str) -> ComponentName:
    """Return the component and the rest of the name of a module of an adapter, with underscores in place of dots."""
    for prefix in _GENERAL_PREFIXES:
        key = key.removeprefix(prefix)
    for prefix, clip in _TEXT_PREFIXES.items():
        if key.startswith(prefix):
            rest = _layer_name(key[len(prefix) :], _OLD_TEXT_NAMES)
            content = LANGUAGE_MODEL if re.match(r"layers_\d+_", rest) else _content(rest)
            return _named(clip if content in (SOME_CLIP, "") else content, rest)
    for prefix in _DIFFUSION_PREFIXES:
        if key.startswith(prefix):
            return ComponentName(component=DIFFUSION, rest=_layer_name(key[len(prefix) :]))
    if any(key.startswith(prefix) for prefix in _MODEL_PREFIXES):
        found = of_model(key)
        return _named(found.component, _layer_name(found.rest))
    rest = _layer_name(key)
    return _named(_content(rest) or DIFFUSION, rest)


def of_model(name: str, width: int = 0) -> ComponentName:
    """Return the component and the rest of the name of a layer of a model, with underscores in place of dots.

    A file of one text encoder has no prefixes. ``width`` is the width of its CLIP, or 0 if that is not known: 1280 is
    that of CLIP-G.
    """
    for prefix, component in _MODEL_PREFIXES.items():
        if name.startswith(prefix):
            rest = name[len(prefix) :]
            if prefix == "text_encoders.":
                # The name of the encoder comes first.
                rest = re.sub(r"^[^.]+\.(transformer\.)?", "", rest)
            return _named(component, underscored(rest))
    rest = _PREFIX_OF_HIDREAM_O1.sub("", underscored(name))
    content = _content(rest)
    if content == SOME_CLIP:
        content = CLIP_2 if width == 1280 else CLIP_1
    return _named(content or DIFFUSION, rest)


def _named(component: str, rest: str) -> ComponentName:
    """Return a name in a component. Programs disagree on the first word of a language model's names."""
    return ComponentName(
        component=component, rest=rest.removeprefix("model_") if component == LANGUAGE_MODEL else rest
    )


def _content(rest: str) -> str:
    """Return the sort of text encoder that a name belongs to, or "" if it belongs to none."""
    return next((sort for pattern, sort in _CONTENT if pattern.match(rest)), "")


def _layer_name(rest: str, names: Iterable[tuple[re.Pattern[str], str]] = _OLD_NAMES) -> str:
    """Return a name with underscores in place of dots, with the current ones in place of old ``names``."""
    rest = _PREFIX_OF_HIDREAM_O1.sub("", underscored(rest))
    for pattern, text in names:
        rest = pattern.sub(text, rest)
    return rest
