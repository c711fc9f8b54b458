"""The base models there are. Adding one: an entry here, its tensors in ``architectures.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.models import architectures
from harness.models.architectures import prefixed
from harness.models.base_model import Base, TensorId, Weight

#: LDM's numbering of the blocks of the tiny UNet, by the name diffusers gives them. Adapters use the latter.
_UNET_BLOCKS = {
    "down_blocks.0": "input_blocks.1",
    "down_blocks.1": "input_blocks.4",
    "down_blocks.2": "input_blocks.7",
    "up_blocks.0": "output_blocks.0",
    "up_blocks.1": "output_blocks.3",
    "up_blocks.2": "output_blocks.6",
}
#: The same of the whole UNet, as many blocks of each width.
_WHOLE_UNET_BLOCKS = {
    "down_blocks.0": "input_blocks.1",
    "down_blocks.1": "input_blocks.4",
    "down_blocks.2": "input_blocks.7",
    "up_blocks.1": "output_blocks.3",
    "up_blocks.2": "output_blocks.6",
    "up_blocks.3": "output_blocks.9",
}
_UNET_LAYERS = (
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "attn2.to_k",
    "attn2.to_v",
    "ff.net.2",
)

#: The convolutions that adapters change, by the name diffusers gives them, with as many outputs as inputs, more and
#: fewer. The wide ones of the middle are left out, they are a hundred times as large. Those of stride 2 are a group of
#: their own, because applied at run time an adapter has to divide the stride among its own convolutions.
_UNET_CONVS = {
    "conv3x3": {
        "down_blocks.0.resnets.0.conv1": "input_blocks.1.0.in_layers.2",
        "down_blocks.0.resnets.0.conv2": "input_blocks.1.0.out_layers.3",
        "down_blocks.1.resnets.0.conv1": "input_blocks.4.0.in_layers.2",
        "up_blocks.2.resnets.0.conv2": "output_blocks.6.0.out_layers.3",
        "up_blocks.2.resnets.1.conv1": "output_blocks.7.0.in_layers.2",
        "up_blocks.2.resnets.1.conv2": "output_blocks.7.0.out_layers.3",
    },
    "strided": {
        "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
        "down_blocks.1.downsamplers.0.conv": "input_blocks.6.0.op",
    },
    "conv1x1": {
        "down_blocks.0.attentions.0.proj_in": "input_blocks.1.1.proj_in",
        "down_blocks.0.attentions.0.proj_out": "input_blocks.1.1.proj_out",
        "down_blocks.1.resnets.0.conv_shortcut": "input_blocks.4.0.skip_connection",
        "up_blocks.2.attentions.0.proj_in": "output_blocks.6.1.proj_in",
        "up_blocks.2.attentions.1.proj_in": "output_blocks.7.1.proj_in",
        "up_blocks.2.attentions.1.proj_out": "output_blocks.7.1.proj_out",
    },
}
#: Layers of the text encoder that adapters change. The last but one is the last that every pipeline uses.
_TEXT_LAYERS = (1, 5, 9)


def _text(prefix: str, layers: Iterable[int] = _TEXT_LAYERS) -> dict[str, TensorId]:
    """Return the targets of the text encoder whose tensors have this prefix in the model's file."""
    return {
        name: ("model", f"{prefix}{name}.weight")
        for layer in layers
        for part in (*(f"self_attn.{n}_proj" for n in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
        for name in (f"text_model.encoder.layers.{layer}.{part}",)
    }


def _unet(blocks: Mapping[str, str]) -> dict[str, TensorId]:
    """Return the linear layers of the first attention of UNet blocks."""
    return {
        f"{block}.attentions.0.transformer_blocks.0.{layer}": (
            "model",
            f"model.diffusion_model.{ldm}.1.transformer_blocks.0.{layer}.weight",
        )
        for block, ldm in blocks.items()
        for layer in _UNET_LAYERS
    }


FLUX_SMALL = Base(
    name="flux-small",
    architecture="flux",
    files={
        "model": prefixed("model.diffusion_model.", architectures.flux(gain=10.0))
        | prefixed("text_encoders.clip_l.transformer.", architectures.clip_l(_TEXT_LAYERS)),
        "taesd": architectures.taesd(16, contrast=0.07, brightness=(0.75, 0.98, 0.61)),
    },
    targets={
        name: ("model", f"model.diffusion_model.{name}.weight")
        for name in (
            "double_blocks.0.img_attn.qkv",
            "double_blocks.0.img_attn.proj",
            "double_blocks.0.img_mlp.0",
            "double_blocks.0.img_mlp.2",
            "single_blocks.0.linear1",
            "single_blocks.0.linear2",
        )
    },
    groups={"text": _text("text_encoders.clip_l.transformer.")},
)

SD1_TINY = Base(
    name="sd1-tiny",
    architecture="sd1",
    files={
        "model": prefixed("model.diffusion_model.", architectures.sd1_tiny())
        | prefixed("cond_stage_model.transformer.", architectures.clip_l(_TEXT_LAYERS)),
        "taesd": architectures.taesd(4, contrast=0.07, brightness=(0.72, 0.95, 0.63)),
    },
    targets=_unet(_UNET_BLOCKS),
    groups={
        **{
            group: {name: ("model", f"model.diffusion_model.{ldm}.weight") for name, ldm in convs.items()}
            for group, convs in _UNET_CONVS.items()
        },
        "text": _text("cond_stage_model.transformer."),
    },
)

#: For the sdists up to 0.3.6, which know no smaller one. Up to 0.2.5 chance decides whether they want TAESD's encoder,
#: too: tae.hpp builds it from ``decode_only`` before that is set. Up to 0.2.1 they take the type of TAESD's weights
#: from a weight of the whole autoencoder, and read past a table if there is none; it is not loaded.
SD1 = Base(
    name="sd1",
    architecture="sd1",
    files={
        "model": prefixed("model.diffusion_model.", architectures.sd1())
        | prefixed("cond_stage_model.transformer.", architectures.clip_l())
        | {"first_stage_model.decoder.mid.attn_1.q.weight": Weight(shape=(512, 512), std=0.05)},
        "taesd": architectures.taesd(4, contrast=0.07, brightness=(0.72, 0.95, 0.63))
        | architectures.taesd_encoder(4),
    },
    targets=_unet(_WHOLE_UNET_BLOCKS),
)

#: For the sdists up to 0.1.6, which take no second file for part of a model.
SD1_WHOLE = replace(SD1, name="sd1-whole", whole=True)

#: The same models for the many cases of the matrix, with fewer targets, so that merging and applying cost less: of the
#: UNet's two widest blocks, which hold three quarters of its weights, one layer each, and one of the text encoder. Most
#: of a picture's time goes into decoding and into the text encoder: flux is given a smaller picture, which the UNet's
#: version demands to be 64 pixels wide, and of the UNet's text encoder only the first three layers are computed.
FLUX_THIN = replace(
    FLUX_SMALL,
    width=32,
    height=32,
    groups={"text": _text("text_encoders.clip_l.transformer.", layers=(5,))},
)
SD1_THIN = replace(
    SD1_TINY,
    clip_skip=10,
    targets={
        name: place
        for name, place in SD1_TINY.targets.items()
        if not name.startswith(("down_blocks.2", "up_blocks.0")) or name.endswith("attn2.to_v")
    },
    groups={**SD1_TINY.groups, "text": _text("cond_stage_model.transformer.", layers=(1,))},
)

BASES = {base.name: base for base in (FLUX_SMALL, SD1_TINY, SD1, SD1_WHOLE)}
