from __future__ import annotations

from harness.layers.layer import Place
from harness.layers.text_encoders import CLIP


def test_the_matrices_of_transformers_are_pieces_of_that_of_open_clip() -> None:
    for index, part in enumerate("qkv"):
        wanted = Place(layer="transformer_resblocks_7_attn_in_proj", units=(1, 1, 1), take=(index,))
        assert CLIP.place(f"text_model.encoder.layers.7.self_attn.{part}_proj") == wanted
        assert CLIP.place(f"encoder_layers_7_self_attn_{part}_proj") == wanted
    assert CLIP.place("transformer.resblocks.7.attn.in_proj") == Place(
        layer="transformer_resblocks_7_attn_in_proj"
    )
    assert CLIP.place("text_model.encoder.layers.7.mlp.fc1") == CLIP.place("transformer.resblocks.7.mlp.c_fc")
    assert CLIP.place("text_model.final_layer_norm") == CLIP.place("ln_final")
