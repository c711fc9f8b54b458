from __future__ import annotations

import pytest

from harness.layers.layer import Family, Place
from harness.layers.other_transformers import QWEN_IMAGE, WAN, Z_IMAGE


@pytest.mark.parametrize(
    ("family", "name", "layer", "take"),
    [
        (QWEN_IMAGE, "transformer_blocks.3.attn.to_q", "transformer_blocks.3.attn.to_q", ()),
        (QWEN_IMAGE, "transformer_blocks.3.img_mod.1", "transformer_blocks.3.img_mod.1", ()),
        (Z_IMAGE, "layers.3.attention.to_k", "layers.3.attention.qkv", (1,)),
        (Z_IMAGE, "context_refiner.1.attention.to_out.0", "context_refiner.1.attention.out", ()),
        (Z_IMAGE, "all_final_layer.2-1.linear", "final_layer.linear", ()),
        (WAN, "blocks.3.attn2.add_k_proj", "blocks.3.cross_attn.k_img", ()),
        (WAN, "blocks.3.attn1.to_out.0", "blocks.3.self_attn.o", ()),
        (WAN, "blocks.3.norm2", "blocks.3.norm3", ()),
        (WAN, "condition_embedder.time_proj", "time_projection.1", ()),
    ],
)
def test_names_of_diffusers_are_layers_of_the_published_model(
    family: Family, name: str, layer: str, take: tuple[int, ...]
) -> None:
    wanted = Place(layer=layer.replace(".", "_"), units=(1, 1, 1) if take else (), take=take)
    assert family.place(name) == family.place(name.replace(".", "_")) == wanted
