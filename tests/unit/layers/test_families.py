from __future__ import annotations

from harness.layers import families
from harness.layers.components import CLIP_2, DIFFUSION
from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.layer import Place
from harness.layers.sd3 import SD3
from harness.layers.unet import UNET


def test_the_layers_of_a_model_tell_its_family() -> None:
    assert families.of_model(["double_blocks.0.img_attn.qkv", "guidance_in.in_layer"]) is FLUX
    assert families.of_model(["double_blocks.0.img_attn.qkv", "single_stream_modulation.lin"]) is FLUX2
    assert families.of_model(["double_blocks.0.x", "distilled_guidance_layer.in_proj"]) is CHROMA
    assert families.of_model(["joint_blocks.0.x_block.attn.qkv", "final_layer.adaLN_modulation.1"]) is SD3
    assert families.of_model(["input_blocks.1.0.in_layers.0"]) is UNET
    assert families.of_model(["block.proj"]) is None


def test_the_layers_of_an_adapter_tell_its_family() -> None:
    assert families.of_adapter(["transformer_blocks.0.attn.to_q", "double_blocks_0_img_attn_qkv"]) is FLUX
    assert families.of_adapter(["transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn2.to_q"]) is SD3
    assert families.of_adapter(["transformer_blocks.0.ff.linear_in"]) is FLUX2
    assert families.of_adapter(["down_blocks_0_resnets_0_conv1"]) is UNET
    assert families.of_adapter(["nowhere"]) is None


def test_an_unknown_name_stands_for_itself() -> None:
    assert families.place(DIFFUSION, "block.proj", None) == Place(layer="block_proj")
    clip = families.place(CLIP_2, "text_model.encoder.layers.0.mlp.fc2", FLUX)
    assert clip == Place(layer="transformer_resblocks_0_mlp_c_proj")
