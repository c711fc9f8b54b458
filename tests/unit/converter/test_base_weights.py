from __future__ import annotations

from harness.converter.base_weights import BaseWeights


def test_module_names_of_all_schemes_find_the_weights_of_the_base_model() -> None:
    names = [
        "model.diffusion_model.double_blocks.1.img_attn.qkv.weight",
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    ]
    weights = BaseWeights(names)
    weight = weights.find("transformer.transformer_blocks.1.attn.to_k")
    assert weight is not None
    assert weight.rows((768, 256)) == (256, 512)
    for key, name in (
        ("lora_unet_double_blocks_1_img_attn_qkv", names[0]),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", names[1]),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", names[1]),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", names[2]),
    ):
        weight = weights.find(key)
        assert weight is not None, key
        assert weight.name == name
    assert weights.find("lora_unet_nowhere") is None
