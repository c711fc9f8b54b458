from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cases.settings import ContextSettings
from harness.cli.main import main
from harness.own_model import advice
from harness.own_model.examination import Examination, examine
from harness.own_model.model import read_model
from harness.records.verdict import Verdict
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, flux, lora, model, peft, quantised_flux, revisions


def examined(path: Path, folder: Path, *names: str) -> Examination:
    return examine(path, model(folder), revisions(*names))


def test_a_file_that_works(tmp_path: Path) -> None:
    found = examined(lora(tmp_path / "a.safetensors"), tmp_path, "2026-05")
    said = "a LoRA for FLUX.1: it fits the model; without patches, 2026-05 applies it"
    assert advice.conclusion(found) == said
    assert advice.works(found)
    assert advice.remedies(found) == []


def test_a_file_that_one_mode_applies(tmp_path: Path) -> None:
    prefix = "transformer.single_transformer_blocks.0.attn.to_"
    found = examined(peft(tmp_path / "a.safetensors", f"{prefix}q"), tmp_path, "2026-05")
    assert advice.conclusion(found).endswith(
        "without patches, 2026-05 applies it in mode immediately and applies it wrongly in mode at_runtime"
    )
    remedies = advice.remedies(found)
    assert remedies[0] == "use --lora-apply-mode immediately with 2026-05 (auto chooses it for this model)"
    assert "sdcpp build --side patched --revision 2026-05" in remedies[1]
    assert remedies[2].endswith("a-2026-05.safetensors --for 2026-05")
    assert "sdcpp lora merge" in remedies[3]


def test_a_file_for_another_family(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    found = examined(lora(tmp_path / "a.safetensors", key=key, out=64), tmp_path)
    assert advice.conclusion(found).endswith("the model is FLUX.1: no build can apply it")
    assert advice.remedies(found) == ["use it with a model of the family Stable Diffusion 1.x, 2.x or SDXL"]


def test_a_part_of_a_file_fits(tmp_path: Path) -> None:
    both = pair(out=192, inner=64, key=KOHYA) | pair(out=64, inner=48, key="lora_unet_img_in")
    found = examined(save(tmp_path / "a.safetensors", both), tmp_path, "2026-05")
    assert "1 of 2 modules does not fit the model" in advice.conclusion(found)
    assert not advice.works(found)


def test_the_files_of_a_text_encoder_are_missing(tmp_path: Path) -> None:
    path = peft(tmp_path / "a.safetensors", "text_encoder_2.text_model.encoder.layers.0.mlp.fc1")
    found = examined(path, tmp_path)
    assert "the files of the model that are given have no place for any of its 1 module" in advice.conclusion(
        found
    )
    assert "--clip_l" in advice.remedies(found)[0]


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("alpha", np.float32(np.nan), "alpha is nan"),
        ("alpha", np.float32(0), "alpha is 0"),
        ("lora_up.weight", np.ones((192, 8), np.int8), "has integers (I8)"),
        ("lora_up.weight", np.ones((192, 4), np.float32), "cannot be multiplied"),
    ],
)
def test_a_broken_module_is_not_said_to_work(
    tmp_path: Path, part: str, value: np.ndarray[Any, Any], problem: str
) -> None:
    broken = pair(rank=8, out=192, inner=64, key=KOHYA) | {f"{KOHYA}.{part}": np.asarray(value)}
    found = examined(save(tmp_path / "a.safetensors", broken), tmp_path, "2026-05")
    assert "a LoRA for FLUX.1 that no build can apply rightly: " in advice.conclusion(found)
    assert problem in advice.conclusion(found)
    assert not advice.works(found)
    assert not found.predictions
    assert not found.fit.elsewhere
    sound = pair(rank=8, out=64, inner=64, key="lora_unet_double_blocks_0_img_attn_proj")
    found = examined(save(tmp_path / "b.safetensors", broken | sound), tmp_path, "2026-05")
    assert " of the file; it fits the model; " in advice.conclusion(found)
    assert not advice.works(found)


def test_the_conversion_of_a_dora_names_the_model(tmp_path: Path) -> None:
    dora = pair(rank=8, out=192, inner=64, key=KOHYA) | {f"{KOHYA}.dora_scale": np.ones((192, 1), np.float32)}
    path = save(tmp_path / "a.safetensors", dora)
    [command] = [line for line in advice.remedies(examined(path, tmp_path, "2026-05")) if " --for " in line]
    words = shlex.split(command.partition(": ")[2])
    assert words[-2:] == ["--base-model", str(tmp_path / "flux.safetensors")]
    assert main(words[1:]) == 0
    assert Path(words[4]).is_file()


def test_a_model_in_place_of_an_adapter(tmp_path: Path) -> None:
    path = flux(tmp_path / "a.safetensors")
    found = examine(path, read_model({"model": path}), revisions())
    assert advice.conclusion(found) == "this is a model (FLUX.1), not an adapter"


def test_alpha_of_the_metadata(tmp_path: Path) -> None:
    declared = {"lora_adapter_metadata": json.dumps({"transformer.r": 8, "transformer.lora_alpha": 4})}
    path = peft(
        tmp_path / "a.safetensors", "transformer.transformer_blocks.0.attn.to_out.0", metadata=declared
    )
    assert advice.remedies(examined(path, tmp_path, "2026-05"))[0].startswith("write alpha as tensors")


def test_what_was_never_tried_can_be_tried(tmp_path: Path) -> None:
    found = examined(lora(tmp_path / "a.safetensors"), tmp_path, "2025-12")
    assert "2025-12 was never tried with such a file" in advice.conclusion(found)
    assert advice.remedies(found) == ["try it with pictures: add --revision 2025-12"]


def test_an_older_revision_finds_a_file_under_another_name(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    found = examine(lora(tmp_path / "b.gguf", key=key, out=64), None, revisions("2025-12"))
    assert advice.remedies(found)[0].startswith("for 2025-12, name the file b.safetensors: ")


def test_a_conversion_does_not_help_against_the_type_of_the_model(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors")
    quantised = quantised_flux(tmp_path / "q.gguf")
    found = examine(path, read_model({"diffusion_model": quantised}), revisions("2026-05"))
    said = advice.remedies(found)
    assert said[0] == "use --lora-apply-mode at_runtime with 2026-05 (auto chooses it for this model)"
    assert not any("--for" in line for line in said)


def test_later_pictures_count_if_they_were_asked_for(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors")
    found = examine(path, model(tmp_path), revisions("2026-07"), asks_changes=True)
    assert not advice.works(found)
    assert advice.conclusion(found).endswith(
        "2026-07 applies it; after other multipliers in one context, a picture without it is wrong with 2026-07 "
        "in mode immediately"
    )
    assert advice.remedies(found) == [
        "where LoRAs or multipliers change in one process, as in a server, with 2026-07: use --lora-apply-mode "
        "at_runtime, or build with the patch vae-runner-done, or open a new context"
    ]
    mapped = ContextSettings(enable_mmap=True)
    found = examine(path, model(tmp_path), revisions("2026-07"), context=mapped, asks_changes=True)
    verdicts = {each.patched: each.verdict for each in found.changed if each.mode == "immediately"}
    assert verdicts == {False: Verdict.WRONG, True: Verdict.PASS}
    [said] = advice.remedies(found)
    assert said.endswith(
        "use --lora-apply-mode at_runtime, or build with the patches vae-runner-done and lora-unmap-merged, or open a "
        "new context"
    )
    assert advice.works(examine(path, model(tmp_path), revisions("2026-07")))
    assert advice.works(examine(path, model(tmp_path), revisions("2026-05"), asks_changes=True))


def test_a_conversion_leaves_out_what_no_unpatched_revision_applies(tmp_path: Path) -> None:
    arrays = pair(rank=8, out=192, inner=64, key="double_blocks.0.img_attn.qkv")
    norm = {"double_blocks.0.img_attn.norm.query_norm.scale": np.ones(8, np.float32)}
    path = save(tmp_path / "a.safetensors", arrays | norm)
    found = examine(path, model(tmp_path), revisions("2026-07"))
    [said] = [line for line in advice.remedies(found) if "--for" in line]
    assert "applies, without 1 module that no unpatched revision can apply: " in said
    command = shlex.split(said.partition(": sdcpp ")[2])
    assert main(command) == 0
    assert main([word for word in command if word != "--force"]) == 56
    alone = save(tmp_path / "b.safetensors", norm)
    found = examine(alone, model(tmp_path), revisions("2026-07"))
    assert not any("--for" in line for line in advice.remedies(found))
