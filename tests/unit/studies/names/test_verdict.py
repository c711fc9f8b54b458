from __future__ import annotations

import pytest

from harness.layers.versions import VERSIONS, Version
from harness.studies.names.verdict import Outcome, Question, outcome, questions

BY_TITLE = {version.title: version for version in VERSIONS}


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


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.title)
def test_no_two_layers_have_one_name(version: Version) -> None:
    names = [question.key for question in questions(version)]
    # A name of several trainers is asked for each of them.
    for trainer in {question.trainer.name for question in questions(version)}:
        own = [q.key for q in questions(version) if q.trainer.name == trainer]
        assert len(own) == len(set(own)), trainer
    assert names
