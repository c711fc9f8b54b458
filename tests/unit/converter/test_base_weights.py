from __future__ import annotations

import pytest

from harness.converter.base_weights import BaseWeights, RowSlice, changed_rows
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION
from sdcpp.errors import AdapterUnknown


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


FLUX = "model.diffusion_model."


def test_every_outer_layer_of_flux_and_of_a_unet_has_a_place() -> None:
    for published, keys in (
        (f"{FLUX}time_in.in_layer", ("transformer.time_text_embed.timestep_embedder.linear_1",)),
        (f"{FLUX}vector_in.out_layer", ("lora_transformer_time_text_embed_text_embedder_linear_2",)),
        (f"{FLUX}guidance_in.in_layer", ("lora_unet_guidance_in_in_layer", "guidance_in.in_layer")),
        (
            f"{FLUX}img_in",
            ("transformer.x_embedder", "diffusion_model.img_in", "base_model.model.x_embedder"),
        ),
        (f"{FLUX}final_layer.linear", ("transformer.proj_out", "lora_unet_final_layer_linear")),
        (f"{FLUX}input_blocks.0.0", ("unet.conv_in", "lora_unet_conv_in", "lora_unet_input_blocks_0_0")),
        (f"{FLUX}out.2", ("unet.conv_out", "diffusion_model.out.2")),
        (f"{FLUX}label_emb.0.2", ("unet.add_embedding.linear_2",)),
        (f"{FLUX}time_embed.2", ("unet.time_embedding.linear_2",)),
        (
            f"{FLUX}output_blocks.2.2.conv",
            ("unet.up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"),
        ),
    ):
        weights = BaseWeights({f"{published}.weight": (8, 8), f"{published}.bias": (8,)})
        for key in keys:
            weight = weights.find(key)
            assert weight is not None, key
            assert weight.name == f"{published}.weight", key


def test_encoders_are_told_apart() -> None:
    first = "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    second = "conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.weight"
    weights = BaseWeights([first, second])
    assert weights.components == {CLIP_1, CLIP_2}
    names = {}
    for prefix in ("lora_te1_", "lora_te2_", "text_encoder.", "text_encoder_2."):
        weight = weights.find(f"{prefix}text_model.encoder.layers.0.mlp.fc1")
        names[prefix] = weight and weight.name
    assert names == {
        "lora_te1_": first,
        "lora_te2_": second,
        "text_encoder.": first,
        "text_encoder_2.": second,
    }
    # This name does not tell which of the two it means.
    assert weights.find("base_model.model.text_model.encoder.layers.0.mlp.fc1") is None
    alone = BaseWeights([first])
    assert alone.find("base_model.model.text_model.encoder.layers.0.mlp.fc1") is not None
    assert alone.component("lora_te2_text_model_encoder_layers_0_mlp_fc1") not in alone.components


def test_a_file_of_one_encoder_is_told_by_its_width() -> None:
    for width, component in ((768, CLIP_1), (1280, CLIP_2)):
        shapes = {
            "text_model.embeddings.token_embedding.weight": (49408, width),
            "text_model.encoder.layers.0.mlp.fc1.weight": (4 * width, width),
        }
        assert BaseWeights(shapes).components == {component}


def test_slices_are_in_the_order_of_the_rows_of_the_change() -> None:
    name = f"{FLUX}final_layer.adaLN_modulation.1"
    shapes = {f"{name}.weight": (32, 16), f"{name}.bias": (32,), f"{FLUX}double_blocks.0.x.weight": (1, 1)}
    weight = BaseWeights(shapes).find("transformer.norm_out.linear")
    assert weight is not None
    for parameter in ("weight", "bias"):
        assert weight.slices(shapes, parameter) == (
            RowSlice(name=f"{name}.{parameter}", start=16, stop=32, first=0),
            RowSlice(name=f"{name}.{parameter}", start=0, stop=16, first=16),
        )


def test_a_weight_that_cannot_be_divided_and_a_missing_bias_are_refused() -> None:
    name = f"{FLUX}double_blocks.0.img_attn.qkv.weight"
    weight = BaseWeights([name]).find("transformer.transformer_blocks.0.attn.to_q")
    assert weight is not None
    with pytest.raises(AdapterUnknown, match="cannot be divided"):
        weight.slices({name: (50, 16)})
    with pytest.raises(AdapterUnknown, match="no bias"):
        weight.slices({name: (48, 16)}, "bias")


def test_a_model_without_known_layers_is_found_by_equal_names() -> None:
    weights = BaseWeights({"block.proj.weight": (4, 4)}, {"alias.of": "block.proj.weight"})
    assert weights.family is None
    assert weights.components == {DIFFUSION}
    for key in ("lora_unet_block_proj", "unet.block.proj", "lora_unet_alias_of"):
        assert weights.find(key) is not None


def test_pieces_of_a_change_must_be_whole_rows() -> None:
    assert changed_rows((10, 3), (1, 1, 3)) == [(0, 2), (2, 4), (4, 10)]
    assert changed_rows((9, 3), (1, 1, 3)) is None
