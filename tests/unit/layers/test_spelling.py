from __future__ import annotations

import pytest

from harness.layers import families, spelling
from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.layer import Family, Name, underscored
from harness.layers.other_transformers import QWEN_IMAGE, WAN, Z_IMAGE
from harness.layers.recent_transformers import OVIS_IMAGE
from harness.layers.sd3 import SD3
from harness.layers.text_encoders import CLIP
from harness.layers.unet import UNET

THIRDS = (1, 1, 1)


@pytest.mark.parametrize(
    ("family", "layer", "published", "diffusers"),
    [
        (
            FLUX,
            "double_blocks_3_img_mlp_0",
            "double_blocks.3.img_mlp.0",
            "transformer_blocks.3.ff.net.0.proj",
        ),
        (
            FLUX,
            "time_in_in_layer",
            "time_in.in_layer",
            "time_text_embed.timestep_embedder.linear_1",
        ),
        (
            FLUX2,
            "single_blocks_0_linear2",
            "single_blocks.0.linear2",
            "single_transformer_blocks.0.attn.to_out",
        ),
        (
            CHROMA,
            "distilled_guidance_layer_layers_1_in_layer",
            "distilled_guidance_layer.layers.1.in_layer",
            "distilled_guidance_layer.layers.1.linear_1",
        ),
        (UNET, "input_blocks_1_1_proj_in", "input_blocks.1.1.proj_in", "down_blocks.0.attentions.0.proj_in"),
        (
            UNET,
            "middle_block_1_transformer_blocks_0_attn2_to_out_0",
            "middle_block.1.transformer_blocks.0.attn2.to_out.0",
            "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
        ),
        (UNET, "output_blocks_5_1_conv", "output_blocks.5.1.conv", "up_blocks.1.upsamplers.0.conv"),
        (UNET, "out_2", "out.2", "conv_out"),
        (WAN, "blocks_7_cross_attn_o", "blocks.7.cross_attn.o", "blocks.7.attn2.to_out.0"),
        (
            QWEN_IMAGE,
            "transformer_blocks_1_attn_to_q",
            "transformer_blocks.1.attn.to_q",
            "transformer_blocks.1.attn.to_q",
        ),
        (
            CLIP,
            "transformer_resblocks_4_mlp_c_fc",
            "transformer.resblocks.4.mlp.c_fc",
            "text_model.encoder.layers.4.mlp.fc1",
        ),
    ],
)
def test_a_layer_has_a_published_name_and_one_in_diffusers(
    family: Family, layer: str, published: str, diffusers: str
) -> None:
    assert spelling.published(family, layer) == published
    assert [name.text for name in spelling.in_diffusers(family, layer)] == [diffusers]


@pytest.mark.parametrize(
    ("family", "layer", "names"),
    [
        (
            FLUX,
            "single_blocks_12_linear1",
            [
                Name(text=f"single_transformer_blocks.12.{leaf}", units=(1, 1, 1, 4), take=(i,))
                for i, leaf in enumerate(("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"))
            ],
        ),
        (
            Z_IMAGE,
            "noise_refiner_1_attention_qkv",
            [
                Name(text=f"noise_refiner.1.attention.to_{part}", units=THIRDS, take=(i,))
                for i, part in enumerate("qkv")
            ],
        ),
        (
            CLIP,
            "transformer_resblocks_0_attn_in_proj",
            [
                Name(text=f"text_model.encoder.layers.0.self_attn.{part}_proj", units=THIRDS, take=(i,))
                for i, part in enumerate("qkv")
            ],
        ),
        (
            SD3,
            "joint_blocks_1_context_block_adaLN_modulation_1",
            [Name(text="transformer_blocks.1.norm1_context.linear", units=(1, 1), take=(1, 0), ratio=2)],
        ),
    ],
)
def test_a_fused_layer_has_a_name_for_each_piece(family: Family, layer: str, names: list[Name]) -> None:
    assert list(spelling.in_diffusers(family, layer)) == names


@pytest.mark.parametrize("family", [*families.FAMILIES, CLIP], ids=lambda family: family.name)
def test_every_name_leads_back_to_its_layer(family: Family) -> None:
    rest = "transformer_blocks_0_attn1_to_q" if family is UNET else "{rest}"
    for text in family.layers:
        layer = underscored(text.replace("{n}", "1")).replace("{rest}", rest)
        published, names = spelling.published(family, layer), spelling.in_diffusers(family, layer)
        assert published
        assert underscored(published) == layer
        assert names or (family is OVIS_IMAGE and layer.endswith(("_up_proj", "_gate_proj")))
        for name in names:
            place = family.place(name.text)
            assert place is not None
            assert (place.layer, place.take) == (layer, name.take)


def test_an_unknown_layer_has_no_names() -> None:
    assert spelling.published(FLUX, "blocks_0_x") is None
    assert spelling.in_diffusers(FLUX, "blocks_0_x") == ()


def test_the_dots_of_t5() -> None:
    assert (
        spelling.of_t5("encoder_block_3_layer_1_DenseReluDense_wi_0")
        == "encoder.block.3.layer.1.DenseReluDense.wi_0"
    )
    assert spelling.of_t5("encoder_block_3_norm") is None
