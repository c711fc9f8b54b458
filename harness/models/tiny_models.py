"""The base models. To add one, define its tensors in ``architectures.py`` and add an entry here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.models import architectures
from harness.models.base_model import Base, TensorId, Weight, Weights
from harness.models.weights import prefixed

#: The blocks of the tiny UNet: from the name in diffusers, which adapters use, to the name in LDM.
_UNET_BLOCKS = {
    "down_blocks.0": "input_blocks.1",
    "down_blocks.1": "input_blocks.4",
    "down_blocks.2": "input_blocks.7",
    "up_blocks.0": "output_blocks.0",
    "up_blocks.1": "output_blocks.3",
    "up_blocks.2": "output_blocks.6",
}
#: The same map for the full UNet, with one block of each width on either side.
_FULL_UNET_BLOCKS = {
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

#: The convolutions that adapters change: for each group, from the name in diffusers to the name in LDM. They have equal
#: numbers of outputs and inputs, more outputs, or fewer outputs. The widest convolutions are left out, because they are
#: much larger. Convolutions of stride 2 are a separate group: when an adapter of several convolutions is applied at run
#: time, one of these convolutions must have the stride.
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
#: The numbers of the layers of the text encoder that adapters change. Layer 10 of 0 to 11 is the last that every
#: pipeline uses.
_TEXT_LAYERS = (1, 5, 9)


def _text(layers: Iterable[int] = _TEXT_LAYERS) -> dict[str, TensorId]:
    """Return the targets in the text encoder."""
    return {
        name: ("clip_l", f"{name}.weight")
        for layer in layers
        for part in (*(f"self_attn.{n}_proj" for n in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
        for name in (f"text_model.encoder.layers.{layer}.{part}",)
    }


def _with_text_encoder(prefix: str, diffusion_model: Weights) -> dict[str, Weights]:
    """Return the files, by role, of a diffusion model and a text encoder. ``prefix`` is that of the text encoder.

    The matrices of the text encoder that adapters change are in a separate file of role clip_l, and a merged model
    replaces this file. Two files with the same tensors would not work: revisions up to 2026-07 take a tensor from the
    file of role clip_l, and later revisions take it from the file of role model. The rest of the text encoder is in the
    file of role model, because revisions up to 2026-07 recognise a UNet only if the file also has a token embedding.
    """
    changed = {name for _, name in _text().values()}
    text = architectures.clip_l(_TEXT_LAYERS)
    return {
        "model": diffusion_model | prefixed(prefix, {n: w for n, w in text.items() if n not in changed}),
        "clip_l": {name: weight for name, weight in text.items() if name in changed},
    }


def _unet(blocks: Mapping[str, str]) -> dict[str, TensorId]:
    """Return the linear layers of the first attention in each UNet block, as targets."""
    return {
        f"{block}.attentions.0.transformer_blocks.0.{layer}": (
            "model",
            f"model.diffusion_model.{ldm}.1.transformer_blocks.0.{layer}.weight",
        )
        for block, ldm in blocks.items()
        for layer in _UNET_LAYERS
    }


#: A layer of flux-small whose matrix is square, and its width a square number: 256 = 16 * 16. A LoKr of rank 16 then
#: has only square factors.
_SQUARE: dict[str, TensorId] = {
    name: ("model", f"model.diffusion_model.{name}.weight") for name in ("double_blocks.0.txt_attn.proj",)
}

FLUX_SMALL = Base(
    name="flux-small",
    architecture="flux",
    files={
        **_with_text_encoder(
            "text_encoders.clip_l.transformer.",
            prefixed("model.diffusion_model.", architectures.flux(gain=10.0)),
        ),
        "taesd": architectures.taesd(16, contrast=0.07, brightness=(0.75, 0.98, 0.61))
        | architectures.taesd_encoder(16),
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
    groups={"text": _text(), "square": _SQUARE},
)

SD1_TINY = Base(
    name="sd1-tiny",
    architecture="sd1",
    files={
        **_with_text_encoder(
            "cond_stage_model.transformer.", prefixed("model.diffusion_model.", architectures.sd1_tiny())
        ),
        "taesd": architectures.taesd(4, contrast=0.07, brightness=(0.72, 0.95, 0.63))
        | architectures.taesd_encoder(4),
    },
    targets=_unet(_UNET_BLOCKS),
    groups={
        **{
            group: {name: ("model", f"model.diffusion_model.{ldm}.weight") for name, ldm in convs.items()}
            for group, convs in _UNET_CONVS.items()
        },
        "text": _text(),
    },
)

#: For sdists up to 0.3.6, which support no smaller model. Sdists up to 0.2.5 may also require TAESD's encoder: tae.hpp
#: reads ``decode_only`` before it is set, so the result depends on uninitialised memory. Sdists up to 0.2.1 take the
#: type of TAESD's weights from a weight of the full autoencoder, and read past the end of a table if the file has no
#: such weight. They do not load the values of that weight.
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
    targets=_unet(_FULL_UNET_BLOCKS),
)

#: For sdists up to 0.1.6, which cannot load part of a model from a second file.
SD1_WHOLE = replace(SD1, name="sd1-whole", full_merged_file=True)

#: The same models for the many cases of the matrix, with less work for each picture.
#:
#: - They have fewer targets, so that merging and applying take less time: one layer of each of the UNet's two widest
#:   blocks, which have three quarters of the UNet's weights, and one layer of the text encoder.
#: - Decoding and the text encoder take most of the time of a picture. Flux makes a smaller picture; the UNet requires
#:   pictures of at least 64 pixels. With the UNet, only the first three layers of the text encoder are computed.
FLUX_THIN = replace(
    FLUX_SMALL,
    width=32,
    height=32,
    groups={**FLUX_SMALL.groups, "text": _text(layers=(5,))},
)
SD1_THIN = replace(
    SD1_TINY,
    clip_skip=10,
    targets={
        name: tensor
        for name, tensor in SD1_TINY.targets.items()
        if not name.startswith(("down_blocks.2", "up_blocks.0")) or name.endswith("attn2.to_v")
    },
    groups={**SD1_TINY.groups, "text": _text(layers=(1,))},
)

BASES = {base.name: base for base in (FLUX_SMALL, SD1_TINY, SD1, SD1_WHOLE)}
