"""The names that a scheme gives to the modules of an adapter: prefixes, layers and suffixes.

The prefixes and the convention of each trainer are those of ``harness.layers.trainers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.layers import spelling
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION, LANGUAGE_MODEL, T5
from harness.layers.layer import Family, Name, underscored
from harness.layers.text_encoders import CLIP
from harness.layers.trainers import BY_NAME, PUBLISHED, SDXL
from harness.layers.unet import UNET

#: The suffixes of sd-scripts and LyCORIS, by part.
KOHYA = {
    "down": ".lora_down.weight",
    "up": ".lora_up.weight",
    "mid": ".lora_mid.weight",
    "alpha": ".alpha",
    "dora": ".dora_scale",
    "diff": ".diff",
    "diff_b": ".diff_b",
    "up_bias": ".lora_up.bias",
    **{
        part: f".{part}"
        for part in (
            *(f"hada_w{i}_{side}" for i in (1, 2) for side in "ab"),
            *("hada_t1", "hada_t2", "lokr_w1", "lokr_w2", "lokr_t2"),
            *(f"lokr_w{i}_{side}" for i in (1, 2) for side in "ab"),
        )
    },
}
#: Those of PEFT. Parts that PEFT lacks have the suffixes of LyCORIS.
PEFT = KOHYA | {
    "down": ".lora_A.weight",
    "up": ".lora_B.weight",
    "dora": ".lora_magnitude_vector",
    "up_bias": ".lora_B.bias",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How a scheme names the modules of an adapter for one family of models.

    - ``prefixes`` are those of the components.
    - ``diffusers`` tells whether the layers of the diffusion model have the names of diffusers, where fused layers are
      in pieces, or the published names. Layers of CLIP always have those of transformers.
    - ``underscores`` is true if the names of layers have underscores in place of dots.
    - ``folded`` is true if there is no tensor for alpha, so the second factor is multiplied by the scale.
    """

    prefixes: Mapping[str, str]
    diffusers: bool
    underscores: bool
    suffixes: Mapping[str, str]
    folded: bool = False

    def names(self, component: str, layer: str, family: Family | None) -> tuple[Name, ...]:
        """Return the keys of the modules for a layer, with the rows that each stands for.

        There are none if the scheme, or the table of layers, has no name for it. ``layer`` is its published name with
        underscores in place of dots.
        """
        prefix = self.prefixes.get(component)
        if prefix is None:
            return ()
        return tuple(
            replace(name, text=prefix + (underscored(name.text) if self.underscores else name.text))
            for name in self._layer_names(component, layer, family)
        )

    def _layer_names(self, component: str, layer: str, family: Family | None) -> tuple[Name, ...]:
        """Return the names of a layer with their dots."""
        if component in (CLIP_1, CLIP_2):
            return spelling.in_diffusers(CLIP, layer)
        if component in (T5, LANGUAGE_MODEL):
            text = spelling.of_t5(layer) if component == T5 else spelling.of_language_model(layer)
        elif family is None:
            text = layer if self.underscores and not self.diffusers else None
        elif self.diffusers:
            return spelling.in_diffusers(family, layer)
        else:
            text = spelling.published(family, layer)
        return (Name(text=text),) if text else ()


#: The schemes of ``--names``.
SCHEMES = ("kohya", "diffusers", "comfy", "onetrainer")
#: Other names of the schemes.
ALIASES = {"peft": "diffusers", "bfl": "comfy", "sd-scripts": "kohya"}


def naming(scheme: str, family: Family | None, *, sdxl: bool = False) -> Naming:
    """Return how a scheme of ``SCHEMES`` names an adapter for a family of models.

    ``sdxl`` tells SDXL from the other models with a UNet: sd-scripts uses the published names for it, and diffusers'
    names for the others. ``family`` is None for an adapter of text encoders alone.
    """
    trainer = BY_NAME[_trainer(scheme, family, sdxl=sdxl)]
    texts = trainer.text_prefixes(SDXL if sdxl else family.name if family else "")
    return Naming(
        prefixes={DIFFUSION: trainer.prefix, **texts},
        diffusers=trainer.names != PUBLISHED,
        underscores=trainer.separator == "_",
        suffixes=PEFT if trainer.suffix == PEFT["down"] else KOHYA,
        folded=scheme == "diffusers",
    )


def _trainer(scheme: str, family: Family | None, *, sdxl: bool) -> str:
    """Return the name of the trainer in ``harness.layers.trainers`` whose names a scheme has for a family."""
    if family is UNET:
        unets = {"diffusers": "diffusers-unet", "onetrainer": "kohya-diffusers"}
        return "kohya-diffusers" if scheme == "kohya" and not sdxl else unets.get(scheme, scheme)
    if scheme == "onetrainer" and family and family.name not in BY_NAME[scheme].families:
        return "onetrainer-dotted"
    return scheme
