from __future__ import annotations

import pytest

from harness.layers.flux import CHROMA, FLUX, FLUX2
from harness.layers.layer import Family, Place

LINEAR1 = (1, 1, 1, 4)


@pytest.mark.parametrize(
    ("family", "name", "layer", "units", "take"),
    [
        (FLUX, "transformer_blocks.3.attn.to_v", "double_blocks.3.img_attn.qkv", (1, 1, 1), (2,)),
        (FLUX, "transformer_blocks.3.attn.add_k_proj", "double_blocks.3.txt_attn.qkv", (1, 1, 1), (1,)),
        (FLUX, "double_blocks.3.img_attn.qkv.0", "double_blocks.3.img_attn.qkv", (1, 1, 1), (0,)),
        (FLUX, "transformer_blocks.3.attn.to_add_out", "double_blocks.3.txt_attn.proj", (), ()),
        (FLUX, "transformer_blocks.3.ff_context.net.0.proj", "double_blocks.3.txt_mlp.0", (), ()),
        (FLUX, "transformer_blocks.3.norm1_context.linear", "double_blocks.3.txt_mod.lin", (), ()),
        (FLUX, "transformer_blocks.3.attn.norm_added_k", "double_blocks.3.txt_attn.norm.key_norm", (), ()),
        (FLUX, "single_transformer_blocks.3.attn.to_q", "single_blocks.3.linear1", LINEAR1, (0,)),
        (FLUX, "single_transformer_blocks.3.proj_mlp", "single_blocks.3.linear1", LINEAR1, (3,)),
        (FLUX, "single_blocks.3.processor.qkv_lora", "single_blocks.3.linear1", LINEAR1, (0, 1, 2)),
        (FLUX, "double_blocks.3.processor.qkv_lora2", "double_blocks.3.txt_attn.qkv", (), ()),
        (FLUX, "blocks.3.attn.a_to_out", "double_blocks.3.img_attn.proj", (), ()),
        (FLUX, "double_blocks.3.img_mlp.fc1", "double_blocks.3.img_mlp.0", (), ()),
        (FLUX, "single_transformer_blocks.3.proj_out", "single_blocks.3.linear2", (), ()),
        (FLUX, "proj_out", "final_layer.linear", (), ()),
        (FLUX, "norm_out.linear", "final_layer.adaLN_modulation.1", (1, 1), (1, 0)),
        (FLUX, "time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer", (), ()),
        (FLUX, "time_text_embed.text_embedder.linear_1", "vector_in.in_layer", (), ()),
        (FLUX, "x_embedder", "img_in", (), ()),
        (CHROMA, "distilled_guidance_layer.layers.2.linear_1", "distilled_guidance_layer.layers.2.in_layer", (), ()),
        (FLUX2, "single_transformer_blocks.40.attn.to_qkv_mlp_proj", "single_blocks.40.linear1", (), ()),
        (FLUX2, "single_transformer_blocks.40.attn.to_out", "single_blocks.40.linear2", (), ()),
        (FLUX2, "transformer_blocks.3.ff.linear_in", "double_blocks.3.img_mlp.0", (), ()),
        (FLUX2, "single_stream_modulation.linear", "single_stream_modulation.lin", (), ()),
    ],
)  # fmt: skip
def test_names_of_other_programs_stand_for_rows_of_published_layers(
    family: Family, name: str, layer: str, units: tuple[int, ...], take: tuple[int, ...]
) -> None:
    wanted = Place(layer=layer.replace(".", "_"), units=units, take=take)
    assert family.place(name) == wanted
    assert family.place(name.replace(".", "_")) == wanted
    assert family.place(layer) == Place(layer=layer.replace(".", "_"))
