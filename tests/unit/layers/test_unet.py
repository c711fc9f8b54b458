from __future__ import annotations

import pytest

from harness.layers.layer import Place
from harness.layers.unet import UNET


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("down_blocks.1.attentions.1.transformer_blocks.9.ff.net.2", "input_blocks.5.1.transformer_blocks.9.ff.net.2"),
        ("down_blocks.2.resnets.1.conv_shortcut", "input_blocks.8.0.skip_connection"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("up_blocks.3.resnets.2.time_emb_proj", "output_blocks.11.0.emb_layers.1"),
        ("up_blocks.1.attentions.0.proj_in", "output_blocks.3.1.proj_in"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
        ("up_blocks.2.upsamplers.0.conv", "output_blocks.8.1.conv"),
        ("output_blocks.8.2.conv", "output_blocks.8.1.conv"),
        ("mid_block.resnets.1.norm2", "middle_block.2.out_layers.0"),
        ("mid_block.attentions.0.norm", "middle_block.1.norm"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_out", "out.2"),
        ("conv_norm_out", "out.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"),
    ],
)  # fmt: skip
def test_names_of_diffusers_are_layers_of_ldm(name: str, layer: str) -> None:
    wanted = Place(layer=layer.replace(".", "_"))
    assert UNET.place(name) == wanted
    assert UNET.place(name.replace(".", "_")) == wanted
    assert UNET.place(layer) == wanted
