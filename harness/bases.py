"""The base models there are. Adding one: an entry here, its tensors in ``architectures.py``."""

from __future__ import annotations

from harness import architectures
from harness.architectures import prefixed
from harness.base import Base

#: LDM's numbering of the blocks of the tiny UNet, by the name diffusers gives them. Adapters use the latter.
_UNET_BLOCKS = {
    "down_blocks.0": "input_blocks.1",
    "down_blocks.1": "input_blocks.4",
    "down_blocks.2": "input_blocks.7",
    "up_blocks.0": "output_blocks.0",
    "up_blocks.1": "output_blocks.3",
    "up_blocks.2": "output_blocks.6",
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

FLUX_SMALL = Base(
    name="flux-small",
    architecture="flux",
    files={
        "model": prefixed("model.diffusion_model.", architectures.flux(gain=10.0))
        | prefixed("text_encoders.clip_l.transformer.", architectures.clip_l()),
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
)

SD1_TINY = Base(
    name="sd1-tiny",
    architecture="sd1",
    files={
        "model": prefixed("model.diffusion_model.", architectures.sd1_tiny())
        | prefixed("cond_stage_model.transformer.", architectures.clip_l()),
        "taesd": architectures.taesd(4, contrast=0.07, brightness=(0.72, 0.95, 0.63)),
    },
    targets={
        f"{block}.attentions.0.transformer_blocks.0.{layer}": (
            "model",
            f"model.diffusion_model.{ldm}.1.transformer_blocks.0.{layer}.weight",
        )
        for block, ldm in _UNET_BLOCKS.items()
        for layer in _UNET_LAYERS
    },
)

BASES = {base.name: base for base in (FLUX_SMALL, SD1_TINY)}
