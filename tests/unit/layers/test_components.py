from __future__ import annotations

import pytest

from harness.layers.components import (
    AUTOENCODER,
    CLIP_1,
    CLIP_2,
    DIFFUSION,
    LANGUAGE_MODEL,
    SOME_CLIP,
    T5,
    ComponentName,
    of_adapter,
    of_model,
)

Q = "text_model_encoder_layers_0_self_attn_q_proj"
T5_Q = "encoder_block_0_layer_0_SelfAttention_q"


@pytest.mark.parametrize(
    ("key", "component", "rest"),
    [
        ("lora_unet_down_blocks_0_x", DIFFUSION, "down_blocks_0_x"),
        ("lora_unet__blocks_0_x", DIFFUSION, "blocks_0_x"),
        ("lora_transformer_x_embedder", DIFFUSION, "x_embedder"),
        ("transformer.x_embedder", DIFFUSION, "x_embedder"),
        ("base_model.model.double_blocks.0.x", DIFFUSION, "double_blocks_0_x"),
        ("double_blocks.0.x", DIFFUSION, "double_blocks_0_x"),
        (f"lora_te_{Q}", CLIP_1, Q),
        (f"lora_te1_{Q}", CLIP_1, Q),
        (f"lora_te2_{Q}", CLIP_2, Q),
        ("text_encoder_2.text_model.final_layer_norm", CLIP_2, "text_model_final_layer_norm"),
        ("text_encoders.clip_g.transformer.text_model.x", CLIP_2, "text_model_x"),
        (f"lora_te2_{T5_Q}", T5, T5_Q),
        (f"lora_te3_{T5_Q}", T5, T5_Q),
        (f"text_encoder_3.{T5_Q}", T5, T5_Q),
        ("lora_te_layers_0_self_attn_q_proj", LANGUAGE_MODEL, "layers_0_self_attn_q_proj"),
        ("text_encoders.qwen3_4b.transformer.model.layers.0.x", LANGUAGE_MODEL, "layers_0_x"),
        (f"base_model.model.{Q}", SOME_CLIP, Q),
        ("unet.a.attn1.processor.to_out", DIFFUSION, "a_attn1_to_out_0"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.to_q", CLIP_1, Q),
    ],
)
def test_the_number_and_the_names_tell_the_component_of_a_module(key: str, component: str, rest: str) -> None:
    assert of_adapter(key) == ComponentName(component=component, rest=rest)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("model.diffusion_model.input_blocks.0.0", DIFFUSION),
        ("double_blocks.0.img_attn.qkv", DIFFUSION),
        ("cond_stage_model.transformer.text_model.x", CLIP_1),
        ("cond_stage_model.model.transformer.resblocks.0.ln_1", CLIP_1),
        ("conditioner.embedders.0.transformer.text_model.x", CLIP_1),
        ("conditioner.embedders.1.model.transformer.resblocks.0.ln_1", CLIP_2),
        ("text_encoders.t5xxl.transformer.encoder.block.0.x", T5),
        ("encoder.block.0.x", T5),
        ("first_stage_model.decoder.conv_in", AUTOENCODER),
    ],
)
def test_the_prefix_tells_the_component_of_a_tensor_of_a_model(name: str, component: str) -> None:
    assert of_model(name).component == component


def test_the_width_tells_the_clip_of_a_file_of_one_encoder() -> None:
    assert of_model("text_model.x", 768).component == CLIP_1
    assert of_model("text_model.x", 1280).component == CLIP_2
