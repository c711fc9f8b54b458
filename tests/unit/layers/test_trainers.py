from __future__ import annotations

from harness.layers.trainers import TRAINERS


def test_a_name_has_the_prefix_the_separator_and_the_suffix() -> None:
    keys = {trainer.name: trainer.key("blocks.0.ffn.2") for trainer in TRAINERS}
    assert keys["kohya"] == "lora_unet_blocks_0_ffn_2.lora_down.weight"
    assert keys["comfy"] == "diffusion_model.blocks.0.ffn.2.lora_A.weight"
    assert keys["bare"] == "blocks.0.ffn.2.lora_A.weight"
    assert keys["diffsynth"] == "blocks.0.ffn.2.lora_A.default.weight"
    assert keys["videox-fun"] == "lora_unet__blocks_0_ffn_2.lora_down.weight"
    assert keys["onetrainer"] == "lora_transformer_blocks_0_ffn_2.lora_down.weight"
    assert len(keys) == len(TRAINERS)
