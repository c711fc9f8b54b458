from __future__ import annotations

from harness.layers.layer import Place
from harness.layers.sd3 import SD3


def test_names_of_diffusers_are_layers_of_the_published_model() -> None:
    for name, layer, take in (
        ("transformer_blocks.5.attn.to_k", "joint_blocks.5.x_block.attn.qkv", (1,)),
        ("transformer_blocks.5.attn2.to_v", "joint_blocks.5.x_block.attn2.qkv", (2,)),
        ("transformer_blocks.5.attn.add_q_proj", "joint_blocks.5.context_block.attn.qkv", (0,)),
        ("transformer_blocks.5.ff_context.net.2", "joint_blocks.5.context_block.mlp.fc2", ()),
        ("transformer_blocks.5.norm1.linear", "joint_blocks.5.x_block.adaLN_modulation.1", ()),
        ("transformer_blocks.5.attn.norm_added_q", "joint_blocks.5.context_block.attn.ln_q", ()),
        ("pos_embed.proj", "x_embedder.proj", ()),
        ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2", ()),
    ):
        wanted = Place(layer=layer.replace(".", "_"), units=(1, 1, 1) if take else (), take=take)
        assert SD3.place(name) == SD3.place(name.replace(".", "_")) == wanted, name


def test_only_the_last_block_exchanges_the_halves_of_its_context_modulation() -> None:
    place = SD3.place("transformer_blocks.23.norm1_context.linear")
    assert place is not None
    layer = "joint_blocks_23_context_block_adaLN_modulation_1"
    assert place.within((6 * 64, 64)) == Place(layer=layer)
    assert place.within((2 * 64, 64)) == Place(layer=layer, units=(1, 1), take=(1, 0))
