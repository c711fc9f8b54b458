from __future__ import annotations

import pytest

from harness.layers.layer import Place
from harness.layers.recent_transformers import ANIMA, HUNYUAN_VIDEO, KREA2, LONGCAT_IMAGE, OVIS_IMAGE


@pytest.mark.parametrize(
    ("family", "name", "layer"),
    [
        (ANIMA, "transformer_blocks.3.attn2.to_out.0", "blocks_3_cross_attn_output_proj"),
        (ANIMA, "transformer_blocks.0.norm3.linear_2", "blocks_0_adaln_modulation_mlp_2"),
        (ANIMA, "lora_unet_unknown", None),
        (KREA2, "text_fusion.refiner_blocks.1.attn.to_gate", "txtfusion_refiner_blocks_1_attn_gate"),
        (KREA2, "transformer_blocks.0.ff.up", "blocks_0_mlp_up"),
        (HUNYUAN_VIDEO, "double_blocks.0.img_attn_proj", "double_blocks_0_img_attn_proj"),
        (HUNYUAN_VIDEO, "double_blocks.0.txt_mlp.fc2", "double_blocks_0_txt_mlp_2"),
        (OVIS_IMAGE, "transformer_blocks.1.ff_context.net.2", "double_blocks_1_txt_mlp_down_proj"),
        (OVIS_IMAGE, "transformer_blocks.1.ff.net.0.proj", None),
        (LONGCAT_IMAGE, "time_embed.timestep_embedder.linear_1", "time_in_in_layer"),
    ],
)  # fmt: skip
def test_a_name_stands_for_a_layer(family: object, name: str, layer: str | None) -> None:
    place = family.place(name)  # type: ignore[attr-defined]
    assert place == (Place(layer=layer) if layer else None)


def test_parts_and_exchanged_halves() -> None:
    part = OVIS_IMAGE.place("single_transformer_blocks.0.proj_mlp")
    assert part == Place(layer="single_blocks_0_linear1", units=(1, 1, 1, 8), take=(3,))
    halves = HUNYUAN_VIDEO.place("norm_out.linear")
    assert halves == Place(layer="final_layer_adaLN_modulation_1", units=(1, 1), take=(1, 0))
    # The norm of the token refiner has the same name, and its halves are in the same order.
    refiner = HUNYUAN_VIDEO.place("context_embedder.token_refiner.refiner_blocks.0.norm_out.linear")
    assert refiner == Place(layer="txt_in_individual_token_refiner_blocks_0_adaLN_modulation_1")
