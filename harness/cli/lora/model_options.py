"""The options that name the files of a model, as upstream's own program has them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from sdcpp.binding.api.interface import ModelFiles

#: The help of each option. Upstream spells some of them with underscores and some with hyphens; both are accepted.
_HELP = {
    "model": "a whole model, or a folder in the layout of diffusers",
    "diffusion_model": "the diffusion model alone",
    "high_noise_diffusion_model": "the diffusion model for high noise, of models that have two",
    "clip_l": "the text encoder CLIP-L",
    "clip_g": "the text encoder CLIP-G",
    "clip_vision": "the encoder of pictures",
    "t5xxl": "the text encoder T5",
    "llm": "the language model that encodes the prompt",
    "llm_vision": "its encoder of pictures",
    "vae": "the autoencoder",
    "taesd": "a tiny autoencoder, which is faster",
}
#: Options that upstream's program spells with hyphens.
_HYPHENS = frozenset({"diffusion_model", "high_noise_diffusion_model"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each file of a model; ``files`` returns what they name."""
    group = parser.add_argument_group("the model, with the options of upstream's own program")
    for field in fields(ModelFiles):
        name = field.name
        hyphens, plain = f"--{name.replace('_', '-')}", f"--{name}"
        spellings = dict.fromkeys((hyphens, plain) if name in _HYPHENS else (plain, hyphens))
        also = {"model": ("-m",), "taesd": ("--tae",)}.get(name, ())
        group.add_argument(*also, *spellings, dest=name, type=Path, metavar="FILE", help=_HELP[name])


def files(arguments: argparse.Namespace) -> Mapping[str, Path]:
    """Return the files that are named, by field of ModelFiles."""
    named = {field.name: getattr(arguments, field.name) for field in fields(ModelFiles)}
    return {name: path for name, path in named.items() if path is not None}
