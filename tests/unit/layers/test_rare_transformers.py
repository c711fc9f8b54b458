from __future__ import annotations

from harness.layers.layer import Place
from harness.layers.rare_transformers import CHROMA_RADIANCE, LENS, PID, SEFI_IMAGE, SVD


def test_a_layer_has_its_published_name() -> None:
    assert LENS.place("transformer_blocks.2.attn.img_qkv") == Place(layer="transformer_blocks_2_attn_img_qkv")
    assert PID.place("pixel_blocks.0.compress_to_attn") == Place(layer="pixel_blocks_0_compress_to_attn")
    assert LENS.place("transformer_blocks.2.attn.to_q") is None


def test_a_relative_has_the_layers_of_its_family() -> None:
    assert SEFI_IMAGE.place("dual_time_embed.texture_embedder.linear_2") is not None
    assert SEFI_IMAGE.place("single_transformer_blocks.0.attn.to_out") is not None
    assert CHROMA_RADIANCE.place("img_in") is None
    assert CHROMA_RADIANCE.place("img_in_patch") is not None
    assert SVD.place("middle_block.0.in_layers.2") is not None
