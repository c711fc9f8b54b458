"""How programs build the names of a LoRA's tensors: a prefix, the names of some program's layers, and a suffix.

Sources: networks/ of sd-scripts and musubi-tuner, util/convert_lora_util.py and ModelFormat.py of OneTrainer,
loaders/lora_base.py and lora_pipeline.py of diffusers, utils/save_and_load.py of PEFT, toolkit/lora_special.py of
ai-toolkit, helpers/training/lora_format.py of SimpleTuner, diffusion/training_module.py of DiffSynth-Studio,
lycoris/wrapper.py of LyCORIS, src/flux/modules of x-flux and of BFL's flux, and videox_fun/utils/lora_utils.py of
VideoX-Fun. To add a trainer, add an entry to ``TRAINERS``.

Where the programs store alpha follows from the same sources, from toolkit/network_mixins.py of ai-toolkit, train.py of
diffusion-pipe and comfy_extras/nodes_lora_extract.py of ComfyUI. InvokeAI describes published files of lightx2v and of
older OneTrainers (patches/lora_conversions), and diffusers those of fal (loaders/lora_conversion_utils.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from harness.layers.components import CLIP_1, CLIP_2, LANGUAGE_MODEL, T5

#: The names of the published checkpoint, as opposed to those of a program (``Name.by``).
PUBLISHED = "published"
_K, _P, _PD = ".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight"
#: The prefixes of the text encoders of a model, by component.
Texts = Mapping[str, str]
#: Keys of ``Trainer.texts`` for models whose text encoders differ from those of the rest of their family.
SD2, SDXL = "SD 2", "SDXL"
_UNET = "SD 1, SD 2 or SDXL"
#: sd-scripts numbers the text encoders, and T5 is the third one also of models with fewer (networks/lora_flux.py).
NUMBERED: Texts = {CLIP_1: "lora_te1_", CLIP_2: "lora_te2_", T5: "lora_te3_"}
_KOHYA_TEXTS = {
    "": NUMBERED,
    _UNET: {CLIP_1: "lora_te_"},
    "Anima": {LANGUAGE_MODEL: "lora_te_"},
}
_KOHYA_UNET_TEXTS = {SDXL: NUMBERED, _UNET: {CLIP_1: "lora_te_"}}
#: OneTrainer numbers them in the order of the pipeline.
_ONETRAINER_TEXTS = {
    "": NUMBERED,
    "Flux.1": {CLIP_1: "lora_te1_", T5: "lora_te2_"},
    "Chroma": {T5: "lora_te_"},
}
_DIFFUSERS_TEXTS = {
    "": {CLIP_1: "text_encoder.", CLIP_2: "text_encoder_2.", T5: "text_encoder_3."},
    "Flux.1": {CLIP_1: "text_encoder.", T5: "text_encoder_2."},
    "Chroma": {T5: "text_encoder."},
}
#: The names of text encoders in ComfyUI (comfy/sd.py).
COMFY: Texts = {
    CLIP_1: "text_encoders.clip_l.transformer.",
    CLIP_2: "text_encoders.clip_g.transformer.",
    T5: "text_encoders.t5xxl.transformer.",
}
_COMFY_TEXTS = {
    "": COMFY,
    SD2: {CLIP_1: "text_encoders.clip_h.transformer."},
    "Anima": {LANGUAGE_MODEL: "text_encoders.qwen3_06b.transformer.model."},
}


class Alpha(Enum):
    """Where a program stores alpha. A LoRA changes a weight by alpha / rank times the product of its factors.

    ``TENSOR`` is a tensor of one number beside the factors of each layer, ``METADATA`` an entry of the metadata of the
    file, and ``CONFIG`` another file beside it. With ``NONE`` alpha equals the rank, or is already multiplied into the
    factors, so that the scale is 1.
    """

    TENSOR = ".alpha"
    METADATA = "lora_adapter_metadata"
    CONFIG = "adapter_config.json"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Writer:
    """A program that writes LoRAs, and where it stores alpha."""

    program: str
    alpha: Alpha


def _writers(alpha: Alpha, *programs: str) -> tuple[Writer, ...]:
    return tuple(Writer(program, alpha) for program in programs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """A naming convention, and the programs that write it.

    ``names`` is ``PUBLISHED`` or a program of ``Name.by``. ``separator`` stands for the dots of the name. ``suffix`` is
    that of the first factor. ``families`` are the names of the families that the convention is for, all if it is empty.
    ``unets_only`` and ``without_unets`` limit it to UNets, or to other models. ``texts`` has the prefixes of the text
    encoders by the name of the family, ``SD2`` or ``SDXL``, with those of all others under "".
    """

    name: str
    writers: tuple[Writer, ...]
    prefix: str
    names: str
    suffix: str
    separator: str = "."
    families: tuple[str, ...] = ()
    unets_only: bool = False
    without_unets: bool = False
    texts: Mapping[str, Texts] = field(default_factory=dict)

    @property
    def programs(self) -> str:
        """The programs that write these names, as text."""
        return ", ".join(writer.program for writer in self.writers)

    @property
    def alphas(self) -> dict[Alpha, tuple[str, ...]]:
        """The programs by where they store alpha."""
        return {
            alpha: tuple(writer.program for writer in self.writers if writer.alpha is alpha)
            for alpha in dict.fromkeys(writer.alpha for writer in self.writers)
        }

    def key(self, layer: str, prefix: str = "") -> str:
        """Return the name of the first factor's tensor for a layer's name with dots.

        ``prefix`` is that of its text encoder, or "" for a layer of the diffusion model.
        """
        return f"{prefix or self.prefix}{layer.replace('.', self.separator)}{self.suffix}"

    def text_prefixes(self, *keys: str) -> Texts:
        """Return the prefixes of the text encoders that the trainer has names for, by component.

        They are those of the first key that ``texts`` has.
        """
        return next((self.texts[key] for key in (*keys, "") if key in self.texts), {})


#: The families whose layers have names of their own in x-flux and in DiffSynth-Studio.
_FLUX = ("Flux.1",)
TRAINERS = (
    Trainer(
        name="kohya",
        writers=_writers(Alpha.TENSOR, "sd-scripts", "musubi-tuner", "OneTrainer (KOHYA)"),
        prefix="lora_unet_",
        names=PUBLISHED,
        suffix=_K,
        separator="_",
        texts=_KOHYA_TEXTS,
    ),
    Trainer(
        name="kohya-diffusers",
        writers=_writers(
            Alpha.TENSOR,
            "sd-scripts for SD 1 and SD 2",
            "OneTrainer (LEGACY) for SDXL",
            "ai-toolkit for SDXL",
            "SimpleTuner for SDXL",
            "musubi-tuner",
        ),
        prefix="lora_unet_",
        names="diffusers",
        suffix=_K,
        separator="_",
        texts=_KOHYA_UNET_TEXTS,
    ),
    Trainer(
        name="comfy",
        writers=(
            *_writers(Alpha.NONE, "ai-toolkit", "diffusion-pipe"),
            *_writers(Alpha.TENSOR, "OneTrainer (COMFY)"),
            *_writers(Alpha.NONE, "ComfyUI"),
        ),
        prefix="diffusion_model.",
        names=PUBLISHED,
        suffix=_P,
        texts=_COMFY_TEXTS,
    ),
    Trainer(
        name="comfy-diffusers",
        writers=(
            *_writers(Alpha.NONE, "ai-toolkit for Z-Image and Qwen-Image"),
            *_writers(Alpha.TENSOR, "SimpleTuner (comfyui)"),
        ),
        prefix="diffusion_model.",
        names="diffusers",
        suffix=_P,
        without_unets=True,
    ),
    Trainer(
        name="diffusers",
        writers=(
            *_writers(Alpha.METADATA, "diffusers", "SimpleTuner"),
            *_writers(Alpha.NONE, "ai-toolkit", "OneTrainer (DIFFUSERS)"),
            *_writers(Alpha.TENSOR, "SimpleTuner (comfyui) for SD 3"),
        ),
        prefix="transformer.",
        names="diffusers",
        suffix=_P,
        without_unets=True,
        texts=_DIFFUSERS_TEXTS,
    ),
    Trainer(
        name="diffusers-unet",
        writers=(*_writers(Alpha.METADATA, "diffusers"), *_writers(Alpha.NONE, "OneTrainer (DIFFUSERS)")),
        prefix="unet.",
        names="diffusers",
        suffix=_P,
        unets_only=True,
        texts=_DIFFUSERS_TEXTS,
    ),
    Trainer(
        name="onetrainer",
        writers=_writers(Alpha.TENSOR, "OneTrainer (LEGACY)"),
        prefix="lora_transformer_",
        names="diffusers",
        suffix=_K,
        separator="_",
        families=("Flux.1", "SD 3", "Chroma", "Chroma Radiance", "HunyuanVideo"),
        texts=_ONETRAINER_TEXTS,
    ),
    Trainer(
        name="onetrainer-dotted",
        writers=_writers(Alpha.TENSOR, "OneTrainer (LEGACY)"),
        prefix="transformer.",
        names="diffusers",
        suffix=_K,
        families=("Flux.2", "Qwen-Image", "Z-Image"),
    ),
    Trainer(
        name="bare",
        writers=(
            *_writers(Alpha.TENSOR, "OneTrainer (ORIGINAL)"),
            *_writers(Alpha.NONE, "BFL"),
            *_writers(Alpha.TENSOR, "lightx2v"),
        ),
        prefix="",
        names=PUBLISHED,
        suffix=_P,
    ),
    Trainer(
        name="diffsynth",
        writers=_writers(Alpha.NONE, "DiffSynth-Studio"),
        prefix="",
        names="diffusers",
        suffix=_PD,
        without_unets=True,
    ),
    Trainer(
        name="peft-model",
        writers=_writers(Alpha.CONFIG, "PEFT"),
        prefix="base_model.model.",
        names="diffusers",
        suffix=_P,
    ),
    Trainer(
        name="peft-published",
        writers=_writers(Alpha.NONE, "fal"),
        prefix="base_model.model.",
        names=PUBLISHED,
        suffix=_P,
        without_unets=True,
    ),
    Trainer(
        name="lycoris",
        writers=_writers(Alpha.TENSOR, "LyCORIS", "SimpleTuner (LyCORIS)"),
        prefix="lycoris_",
        names="diffusers",
        suffix=_K,
        separator="_",
    ),
    Trainer(
        name="videox-fun",
        writers=_writers(Alpha.TENSOR, "VideoX-Fun"),
        prefix="lora_unet__",
        names=PUBLISHED,
        suffix=_K,
        separator="_",
        families=("Wan", "Qwen-Image", "LTX"),
    ),
    Trainer(
        name="tencent",
        writers=_writers(Alpha.NONE, "diffusion-pipe"),
        prefix="diffusion_model.",
        names="Tencent",
        suffix=_P,
        families=("HunyuanVideo",),
    ),
    Trainer(
        name="tencent-kohya",
        writers=_writers(Alpha.TENSOR, "musubi-tuner"),
        prefix="lora_unet_",
        names="Tencent",
        suffix=_K,
        separator="_",
        families=("HunyuanVideo",),
    ),
    Trainer(
        name="onetrainer-pieces",
        writers=_writers(Alpha.TENSOR, "an older OneTrainer"),
        prefix="transformer.",
        names="OneTrainer",
        suffix=_K,
        families=_FLUX,
    ),
    Trainer(
        name="xlabs",
        writers=_writers(Alpha.NONE, "x-flux"),
        prefix="",
        names="XLabs",
        suffix=".down.weight",
        families=_FLUX,
    ),
    Trainer(
        name="diffsynth-flux",
        writers=_writers(Alpha.NONE, "DiffSynth-Studio"),
        prefix="",
        names="DiffSynth",
        suffix=_PD,
        families=_FLUX,
    ),
)
#: The trainers by name.
BY_NAME = {trainer.name: trainer for trainer in TRAINERS}
