from __future__ import annotations

import json
from pathlib import Path

from harness.converter.modules import Layout, layout_of
from harness.formats.read import read_tensors
from harness.own_model.fit import fit
from harness.own_model.model import read_model
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, flux, model, peft, zeros


def adapter(path: Path) -> Layout:
    return layout_of(read_tensors(path))


def test_modules_that_fit_and_that_do_not(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.safetensors",
        pair(out=192, inner=64, key=KOHYA)
        | pair(out=64, inner=48, key="lora_unet_img_in")
        | pair(out=64, inner=64, key="lora_te2_text_model_encoder_layers_0_mlp_fc1"),
    )
    found = fit(adapter(path), model(tmp_path))
    assert list(found.fitting.modules) == [KOHYA]
    assert found.kinds == {KOHYA: "F32"}
    assert "lora_unet_img_in changes [64, 48]" in found.problems[0]
    assert found.elsewhere == ("lora_te2_text_model_encoder_layers_0_mlp_fc1",)


def test_each_module_may_fit_another_file(tmp_path: Path) -> None:
    encoder = {"text_model.encoder.layers.0.mlp.fc1.weight": zeros(64, 64)}
    both = {
        "diffusion_model": flux(tmp_path / "flux.safetensors"),
        "clip_l": save(tmp_path / "clip.safetensors", encoder),
    }
    te = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    tensors = pair(out=192, inner=64, key=KOHYA) | pair(out=64, inner=64, key=te)
    found = fit(adapter(save(tmp_path / "a.safetensors", tensors)), read_model(both))
    assert found.modules == 2
    assert not found.problems


def test_without_a_model_everything_fits(tmp_path: Path) -> None:
    path = peft(tmp_path / "a.safetensors", "transformer.proj_out")
    assert fit(adapter(path), None).modules == 1


def test_a_scale_that_only_the_metadata_declare_is_counted(tmp_path: Path) -> None:
    declared = {"lora_adapter_metadata": json.dumps({"transformer.r": 8, "transformer.lora_alpha": 4})}
    key = "transformer.transformer_blocks.0.attn.to_out.0"
    scaled = fit(adapter(peft(tmp_path / "a.safetensors", key, metadata=declared)), model(tmp_path))
    assert scaled.ignored_scale == 1
    plain = fit(adapter(peft(tmp_path / "b.safetensors", key, metadata={})), model(tmp_path))
    assert plain.ignored_scale == 0
