"""The layers of the UNets of SD 1, SD 2 and SDXL.

The published names are those of LDM. Sources: scripts/convert_diffusers_to_original_stable_diffusion.py and
convert_diffusers_to_original_sdxl.py of diffusers. sd-scripts uses the names of diffusers for SD 1 and SD 2, and those
of LDM for SDXL.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.layers.layer import Family, Layers, Name, plain

#: The layers of a residual block: the name in LDM, and the name in diffusers.
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
#: The layers outside the blocks.
_OUTER = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
#: The pattern of the layers of a transformer. They have the same names in LDM and in diffusers.
_TRANSFORMER = (
    r"norm|proj_in|proj_out"
    r"|transformer_blocks_\d+_(?:attn[12]_to_[qkv]|attn[12]_to_out_0|norm[123]|ff_net_0_proj|ff_net_2)"
)
#: More blocks than any published UNet has on a side.
_BLOCKS = 4


def _resnet(ldm: str, diffusers: str) -> Iterator[tuple[str, tuple[Name, ...]]]:
    """Yield the layers of a residual block."""
    for ldm_leaf, leaf in _RESNET.items():
        yield f"{ldm}.{ldm_leaf}", plain(f"{diffusers}.{leaf}")


def _attention(ldm: str, diffusers: str) -> Iterator[tuple[str, tuple[Name, ...]]]:
    """Yield the layers of a transformer."""
    yield f"{ldm}.{{rest}}", plain(f"{diffusers}.{{rest}}")


def _layers() -> Layers:
    """Return all layers.

    The upsampler of block i of diffusers is the last module of output block 3i + 2: module 1 if that block has no
    transformer, otherwise module 2. A model has only one of the two, so both are names of one layer.
    """
    layers = {name: plain(other) for name, other in _OUTER.items()}
    for i in range(_BLOCKS):
        for j in range(2):
            number = 3 * i + j + 1
            layers.update(_resnet(f"input_blocks.{number}.0", f"down_blocks.{i}.resnets.{j}"))
            layers.update(_attention(f"input_blocks.{number}.1", f"down_blocks.{i}.attentions.{j}"))
        layers[f"input_blocks.{3 * i + 3}.0.op"] = plain(f"down_blocks.{i}.downsamplers.0.conv")
        layers[f"output_blocks.{3 * i + 2}.1.conv"] = plain(
            f"up_blocks.{i}.upsamplers.0.conv", f"output_blocks.{3 * i + 2}.2.conv"
        )
        for j in range(3):
            number = 3 * i + j
            layers.update(_resnet(f"output_blocks.{number}.0", f"up_blocks.{i}.resnets.{j}"))
            layers.update(_attention(f"output_blocks.{number}.1", f"up_blocks.{i}.attentions.{j}"))
    layers.update(_resnet("middle_block.0", "mid_block.resnets.0"))
    layers.update(_attention("middle_block.1", "mid_block.attentions.0"))
    layers.update(_resnet("middle_block.2", "mid_block.resnets.1"))
    return layers


UNET = Family(
    name="SD 1, SD 2 or SDXL",
    layers=_layers(),
    rest=_TRANSFORMER,
    marks=(
        "input_blocks.{n}.{rest}",
        "output_blocks.{n}.{rest}",
        "down_blocks.{n}.{rest}",
        "up_blocks.{n}.{rest}",
        "middle_block.{rest}",
    ),
)
