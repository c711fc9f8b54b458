from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.modules import Module, layout
from harness.formats.tensor import Tensor
from harness.layers import components
from harness.own_model.scheme import FLUX, OTHER, scheme_of


def module(name: str) -> Module:
    tensor = Tensor(name=name, shape=(8, 8), kind="F32", path=Path("none"), offset=0)
    [found] = layout([tensor]).modules.values()
    return found


@pytest.mark.parametrize(
    ("name", "unet", "scheme"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", False, "kohya"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", True, "kohya"),
        ("lora_unet_input_blocks_1_1_proj_in.lora_down.weight", True, "ldm"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", True, "kohya"),
        ("lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight", False, "onetrainer"),
        ("lycoris_transformer_blocks_0_attn_to_q.lora_down.weight", False, "lycoris"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", False, "diffusers-flux"),
        ("base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight", False, "peft-model"),
        ("double_blocks.0.img_attn.proj.lora_A.weight", False, "bare"),
        ("down_blocks.0.attentions.0.proj_in.lora_A.weight", True, "bare"),
        ("double_blocks.0.processor.proj_lora1.down.weight", False, "xlabs"),
        ("diffusion_model.double_blocks.0.img_attn.proj.lora_down.weight", False, "comfy"),
        ("unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", True, "peft"),
        ("unet.down_blocks.0.attentions.0.proj_in.lora_A.default.weight", True, "peft-default"),
        ("unet.down_blocks.0.attentions.0.proj_in.lora.down.weight", True, "layer"),
        (
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            True,
            "processor",
        ),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", True, "peft"),
        ("diffusion_model.img_in.lora_A.weight", False, "comfy"),
        ("base_model.model.double_blocks.0.img_attn.qkv.lora_A.default.weight", False, "peft-model"),
        ("pipe.dit.double_blocks.0.img_attn.qkv.lora_A.default.weight", False, "bare"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.default.weight", False, OTHER),
        ("diffusion_model.double_blocks.0.img_attn.qkv.lora.down.weight", False, OTHER),
        ("lora_unet_double_blocks.0_img_attn_qkv.lora_down.weight", False, OTHER),
        ("lora_unet__double_blocks_0_img_attn_qkv.lora_down.weight", False, OTHER),
        ("diffusion_model.double_blocks_0_img_attn_qkv.lora_A.weight", False, OTHER),
        ("diffusion_model.double_blocks.0.img_attn.qkv.lora_A", False, OTHER),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight", False, OTHER),
    ],
)
def test_the_scheme_of_a_module(name: str, unet: bool, scheme: str) -> None:
    one = module(name)
    named = components.of_adapter(one.key)
    family = "" if unet else FLUX
    assert scheme_of(one, named.component, named.rest, family=family, unet=unet) == scheme


def test_the_names_of_diffusers_are_those_of_flux_for_flux_only() -> None:
    one = module("transformer.transformer_blocks.0.attn.to_q.lora_A.weight")
    named = components.of_adapter(one.key)
    found = scheme_of(one, named.component, named.rest, family="Stable Diffusion 3", unet=False)
    assert found == "diffusers"
