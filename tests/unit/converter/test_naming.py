from __future__ import annotations

import pytest

from harness.converter.naming import ALIASES, SCHEMES, naming
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION, LANGUAGE_MODEL, T5
from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.other_transformers import WAN, Z_IMAGE
from harness.layers.recent_transformers import ANIMA
from harness.layers.sd3 import SD3
from harness.layers.unet import UNET

LLM_LAYER = "layers_2_mlp_gate_proj"
T5_LAYER = "encoder_block_0_layer_1_DenseReluDense_wo"
FC1 = "transformer_resblocks_1_mlp_c_fc"


def keys(scheme: str, component: str, layer: str, family: object = None, *, sdxl: bool = False) -> list[str]:
    assert family is None or hasattr(family, "layers")
    found = naming(scheme, family, sdxl=sdxl)  # type: ignore[arg-type]
    return [name.text for name in found.names(component, layer, family)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scheme", "component", "layer", "family", "key"),
    [
        ("kohya", DIFFUSION, "blocks_3_cross_attn_o", WAN, "lora_unet_blocks_3_cross_attn_o"),
        ("diffusers", DIFFUSION, "blocks_3_cross_attn_o", WAN, "transformer.blocks.3.attn2.to_out.0"),
        (
            "onetrainer",
            DIFFUSION,
            "layers_3_attention_out",
            Z_IMAGE,
            "transformer.layers.3.attention.to_out.0",
        ),
        (
            "onetrainer",
            DIFFUSION,
            "joint_blocks_0_x_block_mlp_fc1",
            SD3,
            "lora_transformer_transformer_blocks_0_ff_net_0_proj",
        ),
        (
            "diffusers",
            DIFFUSION,
            "single_blocks_0_linear2",
            FLUX2,
            "transformer.single_transformer_blocks.0.attn.to_out",
        ),
        ("kohya", CLIP_1, FC1, FLUX, "lora_te1_text_model_encoder_layers_1_mlp_fc1"),
        ("kohya", CLIP_1, FC1, UNET, "lora_te_text_model_encoder_layers_1_mlp_fc1"),
        ("comfy", CLIP_2, FC1, SD3, "text_encoders.clip_g.transformer.text_model.encoder.layers.1.mlp.fc1"),
        ("diffusers", T5, T5_LAYER, FLUX, "text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wo"),
        ("diffusers", T5, T5_LAYER, SD3, "text_encoder_3.encoder.block.0.layer.1.DenseReluDense.wo"),
        ("kohya", T5, T5_LAYER, FLUX, f"lora_te3_{T5_LAYER}"),
        ("onetrainer", T5, T5_LAYER, FLUX, f"lora_te2_{T5_LAYER}"),
        ("onetrainer", T5, T5_LAYER, CHROMA, f"lora_te_{T5_LAYER}"),
        ("onetrainer", T5, T5_LAYER, SD3, f"lora_te3_{T5_LAYER}"),
        ("kohya", LANGUAGE_MODEL, LLM_LAYER, ANIMA, f"lora_te_{LLM_LAYER}"),
        (
            "comfy",
            LANGUAGE_MODEL,
            LLM_LAYER,
            ANIMA,
            "text_encoders.qwen3_06b.transformer.model.layers.2.mlp.gate_proj",
        ),
    ],
)
def test_the_key_of_a_layer(scheme: str, component: str, layer: str, family: object, key: str) -> None:
    assert keys(scheme, component, layer, family) == [key]


def test_sdxl_has_published_names_in_sd_scripts_and_those_of_diffusers_in_onetrainer() -> None:
    layer = "input_blocks_4_1_proj_in"
    assert keys("kohya", DIFFUSION, layer, UNET, sdxl=True) == [f"lora_unet_{layer}"]
    assert keys("kohya", DIFFUSION, layer, UNET) == ["lora_unet_down_blocks_1_attentions_0_proj_in"]
    onetrainer = keys("onetrainer", DIFFUSION, layer, UNET, sdxl=True)
    assert onetrainer == ["lora_unet_down_blocks_1_attentions_0_proj_in"]
    assert keys("kohya", CLIP_1, FC1, UNET, sdxl=True) == ["lora_te1_text_model_encoder_layers_1_mlp_fc1"]


def test_a_component_or_a_layer_without_a_name() -> None:
    assert keys("comfy", LANGUAGE_MODEL, "layers_0_x", FLUX) == []
    assert keys("comfy", DIFFUSION, "blocks_0_x", FLUX) == []
    assert keys("kohya", DIFFUSION, "blocks_0_x") == ["lora_unet_blocks_0_x"]


def test_other_names_of_the_schemes() -> None:
    assert set(ALIASES.values()) <= set(SCHEMES)
