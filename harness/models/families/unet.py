"""The UNets of SD 1, SD 2 and SDXL with all their blocks, as narrow as the library accepts.

Names and shapes follow the published checkpoints (github.com/CompVis/latent-diffusion and
github.com/Stability-AI/generative-models, ``openaimodel.py``). Group norms have 32 groups, so the number of channels is
a multiple of 32. The text encoders have constant sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.models import architectures
from harness.models.base_model import Base, TensorId, Weight, Weights
from harness.models.families.autoencoders import tiny_autoencoder
from harness.models.families.family import PREFIX, TextTargets, with_text_files
from harness.models.families.text_encoders import CLIP_G, CLIP_H, clip, clip_layer, open_clip
from harness.models.weights import conv, linear, norm, prefixed

#: The layers of a transformer that adapters change.
_LAYERS = (
    *(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn2.{name}" for name in ("to_k", "to_v")),
    "ff.net.2",
)
#: Blocks that have a transformer in SD 1 and SD 2, and in SDXL: from the name in diffusers to the name in LDM.
_SD_BLOCKS = {
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.1.attentions.1": "input_blocks.5.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.1.attentions.0": "output_blocks.3.1",
    "up_blocks.3.attentions.2": "output_blocks.11.1",
}
_XL_BLOCKS = {
    "down_blocks.1.attentions.0": "input_blocks.4.1",
    "down_blocks.2.attentions.1": "input_blocks.8.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.1.attentions.2": "output_blocks.5.1",
}


_TINY_BLOCKS = {
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.2.attentions.0": "input_blocks.7.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.2.attentions.0": "output_blocks.6.1",
}
#: SDXS-512 has no transformers in the first level.
_SDXS_BLOCKS = {
    "down_blocks.1.attentions.0": "input_blocks.4.1",
    "down_blocks.2.attentions.0": "input_blocks.7.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.1.attentions.0": "output_blocks.3.1",
}


#: The number of the last layer of SDXL's second text encoder that the text embedding depends on.
_TEXT_2_LAYER = 30
#: The groups of targets in the text encoders of SDXL: the last layer of each that the text embedding depends on.
_TEXT_TARGETS = {
    "text": TextTargets(role="clip_l", prefix="cond_stage_model.transformer.", names=clip_layer(10)),
    "text-2": TextTargets(
        role="clip_g", prefix="cond_stage_model.1.transformer.", names=clip_layer(_TEXT_2_LAYER)
    ),
}
#: The layers of the second text encoder that adapters change: from the name in open_clip to the name in transformers.
_OPEN_CLIP_LEAVES = {
    "attn.in_proj_": "self_attn.in_proj",
    "attn.out_proj.": "self_attn.out_proj",
    "mlp.c_fc.": "mlp.fc1",
    "mlp.c_proj.": "mlp.fc2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which blocks a UNet has.

    A level has ``resnets`` of them on the way down and one more on the way up, and ``left_out`` numbers of blocks are
    not used after them. ``middle`` are the parts of the middle block. ``up_depths`` are the numbers of blocks in the
    transformers on the way up, by level, if they differ from those on the way down.
    """

    resnets: int = 2
    left_out: int = 0
    middle: tuple[int, ...] = (0, 1, 2)
    up_depths: tuple[tuple[int, int, int], ...] = ()


WHOLE = Layout()
#: SD 1 tiny and SD 2 tiny (segmind/tiny-sd), and SDXS. The library expects the first upsampling at the index 1 of a
#: block of its own, and the second at the index 2.
TINY = Layout(resnets=1, left_out=1, middle=())
#: Segmind Vega and SSD-1B are SDXL with fewer transformers.
VEGA = Layout(middle=(0,))
SSD_1B = Layout(middle=(0,), up_depths=((0, 0, 0), (2, 1, 1), (4, 4, 10)))


def unet(
    *,
    channels: int,
    widths: Sequence[int],
    depths: Sequence[int],
    context: int,
    layout: Layout = WHOLE,
    inputs: int = 4,
    labels: int = 0,
    linear_projection: bool = False,
    mean: float = 0.0,
    gain: float = 1.0,
) -> Weights:
    """Return the tensors of a UNet.

    ``widths`` are the widths of the levels in units of ``channels``, and ``depths`` the numbers of blocks in the
    transformers of each level, unless the layout has others. ``context`` is the width of the text embedding, ``inputs``
    the number of input channels and ``labels`` the width of the vector that SDXL adds to the time embedding. ``mean``
    is the mean of the output, and ``gain`` scales the last matrix.
    """
    time = 4 * channels
    weights: Weights = {
        **linear("time_embed.0", time, channels),
        **linear("time_embed.2", time, time),
        **conv("input_blocks.0.0", channels, inputs, 3),
        **norm("out.0", channels),
        **conv("out.2", 4, channels, 3, gain=gain),
        "out.2.bias": Weight(shape=(4,), std=0.02, mean=mean, dtype="F32"),
    }
    if labels:
        weights |= linear("label_emb.0.0", time, labels) | linear("label_emb.0.2", time, time)

    def block(name: str, inner: int, level: int, depth: int) -> Weights:
        out = widths[level] * channels
        found = _resnet(f"{name}.0", inner, out, time)
        return found | (_transformer(f"{name}.1", out, depth, context, linear_projection) if depth else {})

    width, index, skips, last = channels, 0, [channels], len(widths) - 1
    for level, out in enumerate(factor * channels for factor in widths):
        for _ in range(layout.resnets):
            index += 1
            weights |= block(f"input_blocks.{index}", width, level, depths[level])
            width = out
            skips.append(width)
        index += layout.left_out
        if level < last:
            index += 1
            weights |= conv(f"input_blocks.{index}.0.op", width, width, 3)
            skips.append(width)
    for number in (0, 2):
        if number in layout.middle:
            weights |= _resnet(f"middle_block.{number}", width, width, time)
    if 1 in layout.middle:
        weights |= _transformer("middle_block.1", width, depths[last] or 1, context, linear_projection)
    index = 0
    for level in range(last, -1, -1):
        for number in range(layout.resnets + 1):
            depth = layout.up_depths[level][number] if layout.up_depths else depths[level]
            weights |= block(f"output_blocks.{index}", width + skips.pop(), level, depth)
            width = widths[level] * channels
            if number == layout.resnets and level:
                index += layout.left_out
                # The upsampling follows the transformer, if the block has one.
                follows = 2 if depth and not (layout.left_out and level == last) else 1
                weights |= conv(f"output_blocks.{index}.{follows}.conv", width, width, 3)
            index += 1
    return weights


def _resnet(name: str, inner: int, out: int, time: int) -> Weights:
    weights = {
        **norm(f"{name}.in_layers.0", inner),
        **conv(f"{name}.in_layers.2", out, inner, 3),
        **linear(f"{name}.emb_layers.1", out, time),
        **norm(f"{name}.out_layers.0", out),
        **conv(f"{name}.out_layers.3", out, out, 3),
    }
    return weights | (conv(f"{name}.skip_connection", out, inner, 1) if inner != out else {})


def _transformer(name: str, width: int, depth: int, context: int, linear_projection: bool) -> Weights:
    weights = norm(f"{name}.norm", width)
    for part in ("proj_in", "proj_out"):
        projection = f"{name}.{part}"
        weights |= (
            linear(projection, width, width) if linear_projection else conv(projection, width, width, 1)
        )
    for number in range(depth):
        block = f"{name}.transformer_blocks.{number}"
        for attention, inner in (("attn1", width), ("attn2", context)):
            weights |= linear(f"{block}.{attention}.to_q", width, width, bias=False)
            weights |= linear(f"{block}.{attention}.to_k", width, inner, bias=False)
            weights |= linear(f"{block}.{attention}.to_v", width, inner, bias=False)
            weights |= linear(f"{block}.{attention}.to_out.0", width, width)
        weights |= linear(f"{block}.ff.net.0.proj", 8 * width, width)
        weights |= linear(f"{block}.ff.net.2", width, 4 * width)
        for number_of_norm in (1, 2, 3):
            weights |= norm(f"{block}.norm{number_of_norm}", width)
    return weights


def _base(
    name: str,
    architecture: str,
    diffusion_model: Weights,
    text_encoders: Weights,
    blocks: Mapping[str, str],
) -> Base:
    targets: dict[str, TensorId] = {
        f"{diffusers}.transformer_blocks.0.{layer}": (
            "model",
            f"{PREFIX}{ldm}.transformer_blocks.0.{layer}.weight",
        )
        for diffusers, ldm in blocks.items()
        for layer in _LAYERS
    }
    model = prefixed(PREFIX, diffusion_model) | text_encoders
    # Merging an adapter into a matrix of F32 loses no precision.
    model |= {name: replace(model[name], dtype="F32") for _, name in targets.values()}
    return Base(
        name=name,
        architecture=architecture,
        files={
            "model": model,
            "taesd": tiny_autoencoder(4),
        },
        targets=targets,
        needs=("sizes-from-weights",),
    )


def _with_fused_text_encoder(base: Base) -> Base:
    """Return the base model SDXL with the second text encoder of the published checkpoint.

    Its names are those of open_clip, and q, k and v are one matrix. The layers that adapters change are in a file of
    their own with transformers' names, as in ``with_text_files``, and with their biases.
    """
    role, prefix = _TEXT_TARGETS["text-2"].role, _TEXT_TARGETS["text-2"].prefix
    kept = {name: weight for name, weight in base.files["model"].items() if not name.startswith(prefix)}
    text = open_clip(CLIP_G)
    layer, block = f"text_model.encoder.layers.{_TEXT_2_LAYER}", f"transformer.resblocks.{_TEXT_2_LAYER}"
    changed: Weights = {}
    for ours, theirs in _OPEN_CLIP_LEAVES.items():
        for end in ("weight", "bias"):
            weight = text.pop(f"{block}.{ours}{end}")
            changed[f"{layer}.{theirs}.{end}"] = replace(weight, dtype="F32")
    targets = {name.removesuffix(".weight"): (role, name) for name in changed if name.endswith(".weight")}
    return replace(
        base,
        name="sdxl-fused",
        files={**base.files, "model": kept | prefixed("conditioner.embedders.1.model.", text), role: changed},
        groups={**base.groups, "text-2": targets},
    )


def _sd1(name: str, inputs: int) -> Base:
    model = unet(channels=32, widths=(1, 2, 4, 4), depths=(1, 1, 1, 0), context=768, inputs=inputs)
    return _base(name, "sd1", model, _clip_l(), _SD_BLOCKS)


def _clip_l() -> Weights:
    return prefixed("cond_stage_model.transformer.", architectures.clip_l())


def _sd2(
    name: str, *, blocks: Mapping[str, str] = _SD_BLOCKS, layout: Layout = WHOLE, inputs: int = 4
) -> Base:
    """Return a base model of SD 2.

    The library takes one for a model of v-prediction if the mean of its output for a constant latent is low. The output
    is then not multiplied with the noise level, so that it must be larger.
    """
    levels = 4 if layout == WHOLE else 3
    model = unet(
        channels=64,
        widths=(1, 2, 4, 4)[:levels],
        depths=(1, 1, 1, 0)[:levels],
        context=1024,
        layout=layout,
        inputs=inputs,
        linear_projection=True,
        mean=-1.5,
        gain=5.0,
    )
    return _base(name, "sd1", model, prefixed("cond_stage_model.transformer.", clip(CLIP_H)), blocks)


def _sdxl(name: str, *, depths: Sequence[int] = (0, 2, 10), layout: Layout = WHOLE, inputs: int = 4) -> Base:
    model = unet(
        channels=32,
        widths=(1, 2, 4),
        depths=depths,
        context=2048,
        layout=layout,
        inputs=inputs,
        labels=2816,
        linear_projection=True,
    )
    texts = _clip_l() | prefixed("cond_stage_model.1.transformer.", clip(CLIP_G))
    blocks = {
        diffusers: ldm
        for diffusers, ldm in _XL_BLOCKS.items()
        if 1 in layout.middle or ldm != "middle_block.1"
    }
    return _base(name, "sdxl", model, texts, blocks)


SD1_NARROW = _sd1("sd1-narrow", 4)
#: The library makes the mask and the masked picture itself if it gets none.
SD1_INPAINT = _sd1("sd1-inpaint", 9)
#: The library edits an empty picture if it gets none.
SD1_EDIT = _sd1("sd1-edit", 8)
SDXS_512 = _base(
    "sdxs-512",
    "sd1",
    unet(channels=32, widths=(1, 2, 4), depths=(0, 1, 1), context=768, layout=TINY),
    _clip_l(),
    _SDXS_BLOCKS,
)
SD2 = _sd2("sd2")
SD2_INPAINT = _sd2("sd2-inpaint", inputs=9)
SD2_TINY = _sd2("sd2-tiny", blocks=_TINY_BLOCKS, layout=TINY)
SDXL = with_text_files(_sdxl("sdxl"), _TEXT_TARGETS)
SDXL_FUSED = _with_fused_text_encoder(SDXL)
SDXL_INPAINT = _sdxl("sdxl-inpaint", inputs=9)
SDXL_EDIT = _sdxl("sdxl-edit", inputs=8)
SDXL_VEGA = _sdxl("sdxl-vega", depths=(0, 1, 2), layout=VEGA)
SDXL_SSD_1B = _sdxl("sdxl-ssd-1b", depths=(0, 2, 4), layout=SSD_1B)
