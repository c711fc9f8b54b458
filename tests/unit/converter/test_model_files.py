from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter.model_files import is_split, model_tensors, shards
from sdcpp.errors import FileInvalid
from tests.unit.converter.lora_files import save
from tests.unit.converter.rewritten_tensors import draw


def part(folder: Path, number: int, name: str, of: int = 2) -> Path:
    return save(folder / f"model-{number:05}-of-{of:05}.safetensors", {name: draw(2)})


def test_the_files_of_a_split_model(tmp_path: Path) -> None:
    one, two = part(tmp_path, 1, "a"), part(tmp_path, 2, "b")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {}}))
    for path in (one, two, index):
        assert is_split(path)
        assert shards(path) == [one, two]
        assert set(model_tensors(path)) == {"a", "b"}
    assert not is_split(save(tmp_path / "model.safetensors", {"a": draw(1)}))
    one.unlink()
    with pytest.raises(FileInvalid, match="only 1 of 2 files of the model are here"):
        model_tensors(two)


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    part(tmp_path, 1, "a")
    with pytest.raises(FileInvalid, match=r"tensor a is also in model-00001-of-00002\.safetensors"):
        model_tensors(part(tmp_path, 2, "a"))


def test_a_folder_of_diffusers(tmp_path: Path) -> None:
    for name in ("transformer", "text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4", "vae"):
        (tmp_path / name).mkdir()
    first = part(tmp_path / "transformer", 1, "transformer_blocks.0.attn.to_q.weight")
    part(tmp_path / "transformer", 2, "proj_out.weight")
    (first.parent / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    first.rename(first.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    second = first.with_name("model-00002-of-00002.safetensors")
    second.rename(second.with_name("diffusion_pytorch_model-00002-of-00002.safetensors"))
    clip = "text_model.final_layer_norm.weight"
    half = save(tmp_path / "text_encoder" / "model.fp16.safetensors", {clip: np.zeros(2, np.float16)})
    whole = save(half.with_name("model.safetensors"), {clip: draw(2)})
    save(tmp_path / "text_encoder_2" / "model.safetensors", {clip: draw(2)})
    save(tmp_path / "text_encoder_3" / "model.safetensors", {"shared.weight": draw(2)})
    save(tmp_path / "text_encoder_4" / "model.safetensors", {"layers.0.mlp.up_proj.weight": draw(2)})
    save(tmp_path / "vae" / "diffusion_pytorch_model.safetensors", {"encoder.conv_in.weight": draw(2)})
    found = model_tensors(tmp_path)
    assert set(found) == {
        "model.diffusion_model.transformer_blocks.0.attn.to_q.weight",
        "model.diffusion_model.proj_out.weight",
        f"text_encoders.clip_l.transformer.{clip}",
        f"text_encoders.clip_g.transformer.{clip}",
        "text_encoders.t5xxl.transformer.shared.weight",
        "text_encoders.text_encoder_4.layers.0.mlp.up_proj.weight",
    }
    assert found[f"text_encoders.clip_l.transformer.{clip}"].path == whole
    assert set(model_tensors(tmp_path / "text_encoder")) == {clip}
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileInvalid, match="no model in the layout of diffusers"):
        model_tensors(tmp_path / "empty")
