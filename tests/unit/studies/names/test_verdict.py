from __future__ import annotations

import pytest

from harness.layers.components import DIFFUSION, T5
from harness.layers.versions import ROWS, Version
from harness.studies.names.verdict import Outcome, Question, outcome, questions

BY_TITLE = {version.title: version for version in ROWS}
CLIP_Q = "text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"
DOTTED_Q = "text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
T5_Q = "encoder_block_0_layer_0_SelfAttention_q.lora_down.weight"


def asked(title: str, trainer: str) -> dict[str, Question]:
    return {q.key: q for q in questions(BY_TITLE[title]) if q.trainer.name == trainer}


def test_the_names_of_a_trainer_stand_for_layers_and_parts() -> None:
    found = asked("Flux.1, Kontext", "diffusers")
    key = found["transformer.transformer_blocks.0.attn.to_k.lora_A.weight"]
    assert (key.layer, key.part, key.swapped) == ("double_blocks.0.img_attn.qkv", 1, False)
    assert key.model_name == "model.diffusion_model.double_blocks.0.img_attn.qkv.weight"
    assert found["transformer.norm_out.linear.lora_A.weight"].swapped
    assert "transformer.single_transformer_blocks.37.proj_mlp.lora_A.weight" in found


def test_kohya_uses_underscores_and_published_names() -> None:
    assert "lora_unet_blocks_39_cross_attn_k.lora_down.weight" in asked("Wan 2.1, Wan 2.2", "kohya")
    # SDXL has transformers in its wider blocks only.
    found = asked("SDXL", "kohya")
    assert "lora_unet_input_blocks_4_1_proj_in.lora_down.weight" in found
    assert not any(key.startswith("lora_unet_input_blocks_1_1_") for key in found)


def test_a_trainer_is_asked_about_its_families_only() -> None:
    assert asked("HunyuanVideo 1.5", "tencent")
    assert not asked("Flux.1, Kontext", "tencent")
    assert not asked("SD 1", "diffusers")
    assert asked("SD 1", "diffusers-unet")
    # PiD has names by no other program.
    assert not asked("PiD", "diffusers")


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        ("lora.m.a.weight.lora_down", Outcome.RIGHT),
        ("lora.m.b.weight.lora_down", Outcome.OTHER),
        ("lora.m.b.weight.1.lora_down", Outcome.OTHER),
        ("lora.m.a.lora_down", Outcome.LOST),
        ("lora.m.a.weight.swapped.lora_down", Outcome.HALVES),
    ],
)
def test_where_a_name_leads(got: str, wanted: Outcome) -> None:
    question = asked("Flux.1, Kontext", "comfy")["diffusion_model.img_in.lora_A.weight"]
    layers = frozenset({"m.a.weight", "m.b.weight"})
    assert outcome(question, got, "m.a.weight", layers) is wanted


def test_a_part_and_exchanged_halves_are_required() -> None:
    found = asked("Flux.1, Kontext", "diffusers")
    part = found["transformer.transformer_blocks.0.attn.to_v.lora_A.weight"]
    layers = frozenset({"q.weight"})
    assert outcome(part, "lora.q.weight.2.lora_down", "q.weight", layers) is Outcome.RIGHT
    assert outcome(part, "lora.q.weight.lora_down", "q.weight", layers) is Outcome.OTHER
    halves = found["transformer.norm_out.linear.lora_A.weight"]
    assert outcome(halves, "lora.q.weight.swapped.lora_down", "q.weight", layers) is Outcome.RIGHT
    assert outcome(halves, "lora.q.weight.lora_down", "q.weight", layers) is Outcome.HALVES


@pytest.mark.parametrize("version", ROWS, ids=lambda version: version.title)
def test_no_two_layers_have_one_name(version: Version) -> None:
    names = [question.key for question in questions(version)]
    # A name of several trainers is asked for each of them.
    for trainer in {question.trainer.name for question in questions(version)}:
        own = [q.key for q in questions(version) if q.trainer.name == trainer]
        assert len(own) == len(set(own)), trainer
    assert names


@pytest.mark.parametrize(
    ("title", "trainer", "key", "model_name"),
    [
        ("SD 1", "kohya", f"lora_te_{CLIP_Q}", "cond_stage_model.transformer.text_model"),
        ("SDXL", "kohya", f"lora_te2_{CLIP_Q}", "cond_stage_model.1.transformer.text_model"),
        ("SDXL", "diffusers-unet", f"text_encoder_2.{DOTTED_Q}", "cond_stage_model.1.transformer.text_model"),
        ("SD 2", "comfy", f"text_encoders.clip_h.transformer.{DOTTED_Q}", "cond_stage_model.transformer.text_model"),
        ("SD 3, SD 3.5", "onetrainer", f"lora_te2_{CLIP_Q}", "text_encoders.clip_g.transformer.text_model"),
        ("SD 3, SD 3.5", "onetrainer", f"lora_te3_{T5_Q}", "text_encoders.t5xxl.transformer.encoder.block.0"),
        ("Flux.1, Kontext", "onetrainer", f"lora_te2_{T5_Q}", "text_encoders.t5xxl.transformer.encoder.block.0"),
        ("Flux.1, Kontext", "kohya", f"lora_te3_{T5_Q}", "text_encoders.t5xxl.transformer.encoder.block.0"),
        ("Anima", "kohya", "lora_te_layers_0_mlp_up_proj.lora_down.weight", "text_encoders.llm.model.layers.0.mlp"),
    ],
)  # fmt: skip
def test_the_number_or_the_name_tells_the_text_encoder(
    title: str, trainer: str, key: str, model_name: str
) -> None:
    assert asked(title, trainer)[key].model_name.startswith(f"{model_name}.")


def test_a_trainer_is_asked_about_the_text_encoders_that_it_changes() -> None:
    assert {q.component for q in asked("Wan 2.1, Wan 2.2", "kohya").values()} == {DIFFUSION}
    assert {q.component for q in asked("Chroma", "onetrainer").values()} == {DIFFUSION, T5}
    assert {q.component for q in asked("Flux.1, Kontext", "bare").values()} == {DIFFUSION}
