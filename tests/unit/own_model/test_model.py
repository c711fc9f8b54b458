from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.own_model.model import read_model
from sdcpp.errors import FileInvalid
from tests.unit.converter.lora_files import save
from tests.unit.own_model.own_files import flux, lora, model, quantised_flux, zeros

UNET = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"


def test_a_model_of_one_file(tmp_path: Path) -> None:
    read = model(tmp_path)
    assert (read.family, read.kind, read.quantised, read.unreadable) == ("FLUX.1", "F32", False, ())


def test_a_quantised_model(tmp_path: Path) -> None:
    read = read_model({"diffusion_model": quantised_flux(tmp_path / "q.gguf")})
    assert (read.kind, read.quantised, set(read.containers)) == ("Q8_0", True, {"gguf"})


def test_a_folder_of_diffusers_has_the_files_that_the_library_reads(tmp_path: Path) -> None:
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        (tmp_path / name).parent.mkdir()
    save(tmp_path / "unet/diffusion_pytorch_model.safetensors", {UNET: zeros(64, 64)})
    encoder = {"text_model.encoder.layers.0.self_attn.q_proj.weight": zeros(64, 64)}
    save(tmp_path / "text_encoder/model.safetensors", encoder)
    read = read_model({"model": tmp_path})
    assert [part.inside for part in read.parts] == [
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ]
    assert read.unreadable == ()


def test_what_the_library_does_not_read_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    flux(tmp_path / "transformer/diffusion_pytorch_model-00001-of-00001.safetensors")
    read = read_model({"model": tmp_path})
    assert "reads only unet/" in read.unreadable[0]
    assert read.hopeless == read.unreadable
    assert read.family == "FLUX.1"
    assert read.unreadable[0].endswith("give a single file with --diffusion-model")
    (tmp_path / "variant" / "unet").mkdir(parents=True)
    flux(tmp_path / "variant/unet/diffusion_pytorch_model.fp16.safetensors")
    assert (
        read_model({"model": tmp_path / "variant"}).unreadable[0].endswith("; leave .fp16 out of the names")
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileInvalid, match="no model in the layout of diffusers"):
        read_model({"model": tmp_path / "empty"})


def test_the_names_of_a_model_in_several_files_are_read(tmp_path: Path) -> None:
    first = flux(tmp_path / "m-00001-of-00002.safetensors")
    with pytest.raises(FileInvalid, match="only 1 of 2 files"):
        read_model({"diffusion_model": first})
    save(tmp_path / "m-00002-of-00002.safetensors", {"txt_in.weight": zeros(4, 4)})
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    for path in (first, tmp_path / "m.safetensors.index.json"):
        read = read_model({"diffusion_model": path})
        [part] = read.parts
        assert part.shards == (first, tmp_path / "m-00002-of-00002.safetensors")
        assert "txt_in.weight" in part.shapes
        assert "in several files" in read.unreadable[0]
        assert read.hopeless == ()


def test_the_type_is_that_of_the_diffusion_model(tmp_path: Path) -> None:
    encoder = {"text_model.encoder.layers.0.self_attn.q_proj.weight": zeros(640, 640)}
    files = {"diffusion_model": quantised_flux(tmp_path / "q.gguf")}
    both = read_model({**files, "clip_l": save(tmp_path / "clip.safetensors", encoder)})
    assert both.kind == "Q8_0"


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="an adapter, not a model"):
        read_model({"model": lora(tmp_path / "a.safetensors")})


def test_integers_are_not_quantised(tmp_path: Path) -> None:
    path = save(tmp_path / "ids.safetensors", {"position_ids": np.zeros(4, np.int64)})
    assert not read_model({"clip_l": path}).quantised
