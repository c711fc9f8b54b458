"""The versions of models that stable-diffusion.cpp distinguishes (``SDVersion`` in its model.h), and their layers.

A version that is in the list of a revision but not here has no row in docs/names.md, and a test names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.layers import trainers
from harness.layers.components import CLIP_1, CLIP_2, LANGUAGE_MODEL, T5
from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.layer import Family, Name
from harness.layers.other_transformers import QWEN_IMAGE, WAN, Z_IMAGE
from harness.layers.rare_transformers import (
    CHROMA_RADIANCE,
    HIDREAM_O1,
    IDEOGRAM4,
    LENS,
    LINGBOT_VIDEO,
    MAGE_FLOW,
    PID,
    SEFI_IMAGE,
    SVD,
)
from harness.layers.recent_transformers import (
    ANIMA,
    BOOGU_IMAGE,
    ERNIE_IMAGE,
    HUNYUAN_VIDEO,
    KREA2,
    LONGCAT_IMAGE,
    LTX,
    MINIT2I,
    OVIS_IMAGE,
)
from harness.layers.sd3 import SD3
from harness.layers.unet import UNET

#: The leaves that stand for ``{rest}`` in a UNet.
_UNET_LEAVES = (
    *("proj_in", "proj_out"),
    *(f"transformer_blocks.0.attn1.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")),
    *(
        "transformer_blocks.0.attn2.to_k",
        "transformer_blocks.0.ff.net.0.proj",
        "transformer_blocks.0.ff.net.2",
    ),
)
#: Layers that every UNet has: some of those outside blocks, of its first blocks and of its middle.
_IN_EVERY_UNET = (
    *("input_blocks.0.", "input_blocks.1.0.", "input_blocks.3.0.op", "input_blocks.4.0.", "middle_block.0."),
    *("output_blocks.0.0.", "time_embed", "out.2", "label_emb", "input_blocks.1.1.time"),
)
_PREFIX = "model.diffusion_model."
#: What the library puts before the names of the layers of text encoders, by component.
_CLIP = {CLIP_1: "cond_stage_model.transformer."}
_CLIPS = {**_CLIP, CLIP_2: "cond_stage_model.1.transformer."}
_T5 = {T5: "text_encoders.t5xxl.transformer."}
_CLIP_T5 = {CLIP_1: "text_encoders.clip_l.transformer.", **_T5}
_CLIPS_T5 = {CLIP_1: _CLIP_T5[CLIP_1], CLIP_2: "text_encoders.clip_g.transformer.", **_T5}
_LLM = {LANGUAGE_MODEL: "text_encoders.llm.model."}
#: The layers of the first block of each text encoder that adapters usually change.
_TEXT_LAYERS = {
    CLIP_1: tuple(
        f"text_model.encoder.layers.0.{layer}"
        for layer in (
            *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")),
            *("mlp.fc1", "mlp.fc2"),
        )
    ),
    T5: tuple(
        f"encoder.block.0.layer.{layer}"
        for layer in (
            *(f"0.SelfAttention.{part}" for part in "qkvo"),
            *(f"1.DenseReluDense.{part}" for part in ("wi_0", "wi_1", "wo")),
        )
    ),
    LANGUAGE_MODEL: tuple(
        f"layers.0.{layer}"
        for layer in (
            *(f"self_attn.{part}_proj" for part in "qkvo"),
            *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        )
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of models: its name in ``SDVersion`` without VERSION_, and the layers of its diffusion model.

    ``prefix`` is what the library puts before the names of layers. ``last`` has the number of the last block of the
    published models by the first word of a layer's name; other lists of blocks have one. ``attention`` are the
    blocks of a UNet that have a transformer, by their name in the checkpoint. ``texts`` has what the library puts
    before the names of the layers of text encoders, for those that some trainer changes, by component.
    """

    name: str
    title: str
    family: Family
    prefix: str = _PREFIX
    last: Mapping[str, int] = field(default_factory=dict)
    attention: frozenset[str] = frozenset()
    without: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def text_keys(self) -> tuple[str, ...]:
        """The keys for ``Trainer.text_prefixes``, the most specific first."""
        if self.is_unet and CLIP_2 in self.texts:
            return (trainers.SDXL,)
        return (*((trainers.SD2,) if self.name.startswith("SD2") else ()), self.family.name)

    @property
    def is_unet(self) -> bool:
        """Whether the diffusion model is a UNet."""
        return self.family in (UNET, SVD)

    def layers(self) -> Iterator[tuple[str, tuple[Name, ...]]]:
        """Yield the layers of the first and the last block, and those outside blocks, with their other names.

        Layers without a matrix that adapters usually change, such as norms, are left out.
        """
        for layer, names in self.family.layers.items():
            if layer.startswith(self.without) or _is_norm(layer):
                continue
            if "{rest}" in layer:
                if layer.removesuffix(".{rest}") in self.attention:
                    for leaf in _UNET_LEAVES:
                        yield _filled(layer, names, "rest", leaf)
            elif "{n}" in layer:
                last = self.last.get(layer.partition(".")[0], 0)
                for number in dict.fromkeys((0, last)):
                    yield _filled(layer, names, "n", str(number))
            elif not self.attention or self._is_in_unet(layer):
                yield layer, names

    def text_layers(self, component: str) -> tuple[str, ...]:
        """Return the names in transformers of the layers of a text encoder's first block."""
        return _TEXT_LAYERS[CLIP_1 if component == CLIP_2 else component]

    def _is_in_unet(self, layer: str) -> bool:
        """Return whether every UNet has a layer; its table has those of all UNets."""
        return layer.startswith(_IN_EVERY_UNET)


def _is_norm(layer: str) -> bool:
    leaf = layer.rpartition(".")[2]
    outer = ("in_layers.0", "out_layers.0", "out.0", "img_emb.proj.0", "img_emb.proj.4", "cap_embedder.0")
    return "norm" in leaf or leaf in ("ln_q", "ln_k") or ".norms." in layer or layer.endswith(outer)


def _filled(layer: str, names: tuple[Name, ...], placeholder: str, text: str) -> tuple[str, tuple[Name, ...]]:
    def fill(template: str) -> str:
        return template.replace("{" + placeholder + "}", text)

    return fill(layer), tuple(
        Name(text=fill(n.text), units=n.units, take=n.take, ratio=n.ratio, by=n.by) for n in names
    )


def _blocks(*inputs: int, outputs: tuple[int, ...], middle: bool = True) -> frozenset[str]:
    found = {f"input_blocks.{i}.1" for i in inputs} | {f"output_blocks.{i}.1" for i in outputs}
    return frozenset(found | ({"middle_block.1"} if middle else set()))


_SD = _blocks(1, 2, 4, 5, 7, 8, outputs=(3, 4, 5, 6, 7, 8, 9, 10, 11))
_TINY = _blocks(1, 4, 7, outputs=(0, 1, 3, 4, 6, 7), middle=False)
_XL = _blocks(4, 5, 7, 8, outputs=(0, 1, 2, 3, 4, 5))
_SMALL_XL = _blocks(4, 5, 7, 8, outputs=(0, 1, 2, 3, 4, 5), middle=False)
_NO_MIDDLE = ("middle_block.1", "middle_block.2")
_FLUX_BLOCKS = {"double_blocks": 18, "single_blocks": 37}


def _unet(name: str, title: str, attention: frozenset[str], *without: str) -> Version:
    texts = _CLIPS if name.startswith("SDXL") else _CLIP
    return Version(name=name, title=title, family=UNET, attention=attention, without=without, texts=texts)


def _flux(name: str, title: str, family: Family = FLUX, *without: str) -> Version:
    texts = _CLIP_T5 if family is FLUX else {}
    return Version(name=name, title=title, family=family, last=_FLUX_BLOCKS, without=without, texts=texts)


#: All versions, in the order of ``SDVersion`` in revision 2026-07.
VERSIONS = (
    _unet("SD1", "SD 1", _SD, "label_emb"),
    _unet("SD1_INPAINT", "SD 1 inpainting", _SD, "label_emb"),
    _unet("SD1_PIX2PIX", "InstructPix2Pix", _SD, "label_emb"),
    _unet("SD1_TINY_UNET", "SD 1 tiny", _TINY, "middle_block", "label_emb"),
    _unet("SD2", "SD 2", _SD, "label_emb"),
    _unet("SD2_INPAINT", "SD 2 inpainting", _SD, "label_emb"),
    _unet("SD2_TINY_UNET", "SD 2 tiny", _TINY, "middle_block", "label_emb"),
    _unet(
        "SDXS_512_DS",
        "SDXS-512",
        _blocks(4, 7, outputs=(0, 1, 3, 4), middle=False),
        "middle_block",
        "label_emb",
    ),
    _unet("SDXS_09", "SDXS-09", _TINY, "middle_block", "label_emb"),
    _unet("SDXL", "SDXL", _XL),
    _unet("SDXL_INPAINT", "SDXL inpainting", _XL),
    _unet("SDXL_PIX2PIX", "SDXL edit", _XL),
    _unet("SDXL_VEGA", "Segmind Vega", _SMALL_XL, *_NO_MIDDLE),
    _unet("SDXL_SSD1B", "SSD-1B", _SMALL_XL, *_NO_MIDDLE),
    Version(name="SVD", title="SVD", family=SVD, attention=_SD),
    Version(name="SD3", title="SD 3, SD 3.5", family=SD3, last={"joint_blocks": 37}, texts=_CLIPS_T5),
    _flux("FLUX", "Flux.1, Kontext"),
    _flux("FLUX_FILL", "Flux Fill"),
    _flux("FLUX_CONTROLS", "Flux Controls"),
    _flux("FLEX_2", "Flex.2"),
    _flux("CHROMA_RADIANCE", "Chroma Radiance", CHROMA_RADIANCE, "guidance_in", "vector_in", "time_in"),
    Version(name="WAN2", title="Wan 2.1, Wan 2.2", family=WAN, last={"blocks": 39}),
    Version(name="WAN2_2_I2V", title="Wan 2.2 I2V", family=WAN, last={"blocks": 39}, without=("img_emb",)),
    Version(name="WAN2_2_TI2V", title="Wan 2.2 TI2V", family=WAN, last={"blocks": 29}, without=("img_emb",)),
    Version(name="LINGBOT_VIDEO", title="LingBot-Video", family=LINGBOT_VIDEO),
    Version(name="QWEN_IMAGE", title="Qwen-Image", family=QWEN_IMAGE, last={"transformer_blocks": 59}),
    Version(
        name="QWEN_IMAGE_LAYERED",
        title="Qwen-Image Layered",
        family=QWEN_IMAGE,
        last={"transformer_blocks": 59},
    ),
    Version(name="HUNYUAN_VIDEO", title="HunyuanVideo 1.5", family=HUNYUAN_VIDEO, last={"double_blocks": 53}),
    Version(
        name="ANIMA",
        title="Anima",
        family=ANIMA,
        prefix=f"{_PREFIX}net.",
        last={"blocks": 27, "llm_adapter": 5},
        texts=_LLM,
    ),
    Version(name="FLUX2", title="Flux.2 dev", family=FLUX2, last={"double_blocks": 7, "single_blocks": 47}),
    Version(
        name="FLUX2_KLEIN", title="Flux.2 klein", family=FLUX2, last={"double_blocks": 7, "single_blocks": 23}
    ),
    Version(name="LTXAV", title="LTX-2", family=LTX, last={"transformer_blocks": 47}),
    Version(name="HIDREAM_O1", title="HiDream-O1", family=HIDREAM_O1, prefix="model."),
    Version(name="Z_IMAGE", title="Z-Image", family=Z_IMAGE, last={"layers": 29, "noise_refiner": 1}),
    Version(name="BOOGU_IMAGE", title="Boogu-Image", family=BOOGU_IMAGE),
    Version(
        name="OVIS_IMAGE",
        title="Ovis-Image",
        family=OVIS_IMAGE,
        last={"double_blocks": 5, "single_blocks": 26},
        without=("guidance_in", "vector_in"),
    ),
    Version(name="ERNIE_IMAGE", title="Ernie-Image", family=ERNIE_IMAGE),
    Version(name="LENS", title="Lens", family=LENS),
    Version(name="MINIT2I", title="MiniT2I", family=MINIT2I),
    _flux("LONGCAT", "LongCat-Image", LONGCAT_IMAGE),
    Version(name="PID", title="PiD", family=PID, prefix=f"{_PREFIX}net."),
    Version(name="IDEOGRAM4", title="Ideogram 4", family=IDEOGRAM4),
    Version(name="SEFI_IMAGE", title="SeFi-Image", family=SEFI_IMAGE, last={"double_blocks": 7}),
    Version(name="KREA2", title="Krea 2", family=KREA2, last={"blocks": 27}),
    Version(name="MAGE_FLOW", title="Mage-Flow", family=MAGE_FLOW),
)
#: Chroma has no version of its own: the library takes it for Flux.
CHROMA_VERSION = Version(
    name="FLUX",
    title="Chroma",
    family=CHROMA,
    last=_FLUX_BLOCKS,
    without=("guidance_in", "vector_in", "time_in"),
    texts=_T5,
)
#: All versions with rows of their own in docs/names.md.
ROWS = (*VERSIONS, CHROMA_VERSION)
#: What is no base model of a LoRA.
NOT_A_BASE = ("ESRGAN",)
