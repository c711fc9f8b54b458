from __future__ import annotations

from harness.layers.components import CLIP_1, CLIP_2, LANGUAGE_MODEL, T5
from harness.layers.trainers import BY_NAME, SDXL, TRAINERS, Alpha


def test_a_name_has_the_prefix_the_separator_and_the_suffix() -> None:
    keys = {trainer.name: trainer.key("blocks.0.ffn.2") for trainer in TRAINERS}
    assert keys["kohya"] == "lora_unet_blocks_0_ffn_2.lora_down.weight"
    assert keys["comfy"] == "diffusion_model.blocks.0.ffn.2.lora_A.weight"
    assert keys["bare"] == "blocks.0.ffn.2.lora_A.weight"
    assert keys["diffsynth"] == "blocks.0.ffn.2.lora_A.default.weight"
    assert keys["videox-fun"] == "lora_unet__blocks_0_ffn_2.lora_down.weight"
    assert keys["onetrainer"] == "lora_transformer_blocks_0_ffn_2.lora_down.weight"
    assert len(keys) == len(TRAINERS)


def test_the_prefix_of_a_text_encoder_depends_on_the_family() -> None:
    kohya, onetrainer = BY_NAME["kohya"], BY_NAME["onetrainer"]
    assert kohya.text_prefixes("SD 1, SD 2 or SDXL") == {CLIP_1: "lora_te_"}
    assert kohya.text_prefixes(SDXL)[CLIP_2] == "lora_te2_"
    assert kohya.text_prefixes("Flux.1")[T5] == "lora_te3_"
    assert onetrainer.text_prefixes("Flux.1")[T5] == "lora_te2_"
    assert onetrainer.text_prefixes("Chroma") == {T5: "lora_te_"}
    assert BY_NAME["diffusers"].text_prefixes("SD 3")[T5] == "text_encoder_3."
    assert BY_NAME["comfy"].text_prefixes("Anima").keys() == {LANGUAGE_MODEL}
    assert BY_NAME["bare"].text_prefixes("Flux.1") == {}


def test_the_programs_of_a_trainer_are_grouped_by_where_they_store_alpha() -> None:
    comfy = BY_NAME["comfy"]
    assert comfy.programs == "ai-toolkit, diffusion-pipe, OneTrainer (COMFY), ComfyUI"
    assert comfy.alphas == {
        Alpha.NONE: ("ai-toolkit", "diffusion-pipe", "ComfyUI"),
        Alpha.TENSOR: ("OneTrainer (COMFY)",),
    }
    assert list(BY_NAME["peft-model"].alphas) == [Alpha.CONFIG]


def test_a_program_stores_alpha_in_one_place_for_the_same_names() -> None:
    for trainer in TRAINERS:
        programs = [writer.program for writer in trainer.writers]
        assert len(programs) == len(set(programs))
        # sd-scripts' suffixes come with sd-scripts' alpha.
        if trainer.suffix == ".lora_down.weight":
            assert set(trainer.alphas) == {Alpha.TENSOR}
