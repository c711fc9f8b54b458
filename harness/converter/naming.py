"""The names that a scheme gives to the modules of an adapter: prefixes, layers and suffixes.

Sources: networks/lora.py, lora_flux.py and lora_sd3.py of sd-scripts (kohya), loaders/lora_base.py of diffusers,
comfy/lora.py of ComfyUI, and util/enum/ModelFormat.py (LEGACY) of OneTrainer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.layers import spelling
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION, T5
from harness.layers.flux import CHROMA, FLUX
from harness.layers.layer import Family, Name, underscored
from harness.layers.sd3 import SD3
from harness.layers.text_encoders import CLIP
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
        if component == T5:
            text = spelling.of_t5(layer)
        elif family is None:
            text = layer if self.underscores and not self.diffusers else None
        elif self.diffusers:
            return spelling.in_diffusers(family, layer)
        else:
            text = spelling.published(family, layer)
        return (Name(text=text),) if text else ()


_CLIPS = {CLIP_1: "lora_te1_", CLIP_2: "lora_te2_", T5: "lora_te3_"}
_ONE_CLIP = {CLIP_1: "lora_te_"}
_KOHYA = Naming(
    prefixes={DIFFUSION: "lora_unet_", **_CLIPS}, diffusers=False, underscores=True, suffixes=KOHYA
)
_DIFFUSERS = Naming(
    prefixes={
        DIFFUSION: "transformer.",
        CLIP_1: "text_encoder.",
        CLIP_2: "text_encoder_2.",
        T5: "text_encoder_3.",
    },
    diffusers=True,
    underscores=False,
    suffixes=PEFT,
    folded=True,
)
_COMFY = Naming(
    prefixes={
        DIFFUSION: "diffusion_model.",
        CLIP_1: "text_encoders.clip_l.transformer.",
        CLIP_2: "text_encoders.clip_g.transformer.",
        T5: "text_encoders.t5xxl.transformer.",
    },
    diffusers=False,
    underscores=False,
    suffixes=PEFT,
)
_ONETRAINER = replace(_KOHYA, prefixes={DIFFUSION: "lora_transformer_", **_CLIPS}, diffusers=True)
#: The schemes of ``--names``, by name.
SCHEMES = {"kohya": _KOHYA, "diffusers": _DIFFUSERS, "comfy": _COMFY, "onetrainer": _ONETRAINER}
#: Other names of the schemes.
ALIASES = {"peft": "diffusers", "bfl": "comfy", "sd-scripts": "kohya"}


def naming(scheme: str, family: Family | None, *, sdxl: bool = False) -> Naming:
    """Return how a scheme of ``SCHEMES`` names an adapter for a family of models.

    ``sdxl`` tells SDXL from the other models with a UNet: sd-scripts uses the published names for it, and diffusers'
    names for the others. ``family`` is None for an adapter of text encoders alone.
    """
    usual = SCHEMES[scheme]
    if family is UNET:
        return _of_unet(scheme, usual, sdxl=sdxl)
    if scheme == "diffusers" and family in (FLUX, CHROMA):
        return replace(usual, prefixes={**usual.prefixes, T5: "text_encoder_2."})
    if scheme == "onetrainer" and family not in (None, FLUX, CHROMA, SD3):
        # OneTrainer has other names for newer families.
        return replace(usual, prefixes={**usual.prefixes, DIFFUSION: "transformer."}, underscores=False)
    return usual


def _of_unet(scheme: str, usual: Naming, *, sdxl: bool) -> Naming:
    """Return how a scheme names an adapter for a model with a UNet."""
    if scheme == "diffusers":
        return replace(usual, prefixes={**usual.prefixes, DIFFUSION: "unet."})
    if scheme == "comfy":
        return usual
    texts = _CLIPS if sdxl else _ONE_CLIP
    diffusers = scheme == "onetrainer" or not sdxl
    return replace(_KOHYA, prefixes={DIFFUSION: "lora_unet_", **texts}, diffusers=diffusers)
