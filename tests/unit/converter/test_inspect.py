from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.converter import inspect
from harness.formats.write import Spec, write_container
from tests.unit.converter.lora_files import pair, save
from tests.unit.fake_models import BASE


def test_misfits_of_a_base_model_are_complaints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = pair(inner=32) | pair(key="lora_unet_block_out") | pair(key="lora_unet_other")
    path = save(tmp_path / "a.safetensors", arrays)
    base = tmp_path / "base.safetensors"
    save(base, {n: np.zeros(w.shape, np.float32) for n, w in BASE.files["model"].items()})
    assert main(["lora", "inspect", str(path), "--base-model", str(base), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["scheme"] == "kohya"
    assert data["groups"][0]["rank"] == 32
    assert data["complaints"] == [
        "lora_unet_block_out changes [64, 96], the base model has [32, 64] at block.out.weight",
        "the base model has no weight for lora_unet_other",
    ]


def test_alpha_of_the_metadata_and_unused_alphas_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query, norm = "unet.down_blocks.0.attentions.0.proj_in", "double_blocks.0.img_attn.norm.query_norm.scale"
    arrays = {
        f"{query}.lora_A.weight": np.ones((4, 8), np.float32),
        f"{query}.lora_B.weight": np.ones((8, 4), np.float32),
        "lora_te2_x.lokr_w1": np.ones((2, 2), np.float32),
        "lora_te2_x.lokr_w2": np.ones((2, 2), np.float32),
        "lora_te2_x.alpha": np.array(3, np.float32),
        norm: np.ones(8, np.float32),
    }
    metadata = {
        "lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 2, "unet.use_rslora": True})
    }
    path = save(tmp_path / "a.safetensors", arrays, metadata=metadata)
    assert main(["lora", "inspect", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    groups = {group["kind"]: group for group in data["groups"]}
    assert (groups["lora"]["alpha"], groups["lora"]["alpha_source"]) == (2, "lora_adapter_metadata, rslora")
    assert groups["lokr"]["where"] == "text encoder 2"
    assert groups["replaced"]["types"] == "F32"
    assert data["notes"] == [
        "alpha of 1 module has no effect, because no factor is a product: lora_te2_x",
        "1 layer replaced, not changed: double_blocks.0.img_attn.norm.query_norm",
    ]


def test_the_conclusion_says_what_the_file_is(tmp_path: Path) -> None:
    key = "lora_unet_single_blocks_0_linear1"
    path = save(tmp_path / "a.safetensors", pair(key=key))
    assert inspect.inspect(path).conclusion == "a LoRA for FLUX.1: no problems found"
    base = save(
        tmp_path / "b.safetensors", {"single_blocks.0.linear1.weight": np.zeros((64, 96), np.float32)}
    )
    assert (
        inspect.inspect(path, str(base)).conclusion == f"a LoRA for FLUX.1: no problems found; it fits {base}"
    )
    arrays = pair(key=key) | {f"{key}.dora_scale": np.ones((64, 1), np.float32), "x": np.ones(2, np.float32)}
    assert inspect.inspect(save(path, arrays)).conclusion == "a DoRA for FLUX.1: 1 problem"


def test_one_of_several_files_is_named(tmp_path: Path) -> None:
    halves = list(pair().items())
    found = inspect.inspect(save(tmp_path / "a-00001-of-00003.safetensors", dict(halves[:1])))
    assert found.notes == ["this is file 1 of 3: join them into one for a LoRA"]
    assert found.complaints


def test_a_type_that_cannot_be_decoded_is_a_problem(tmp_path: Path) -> None:
    name = "lora_unet_single_blocks_0_linear1.lora_{}.weight"
    specs = [Spec(name=name.format("up"), shape=(64, 32), kind="Q8_1")]
    specs += [Spec(name=name.format("down"), shape=(32, 96), kind="F32")]
    path = tmp_path / "a.gguf"
    write_container(path, "gguf", specs, {}, lambda spec, _: [np.zeros(spec.nbytes, np.uint8)])
    [complaint] = inspect.inspect(path).complaints
    assert complaint.endswith("lora_up.weight: the gguf package cannot decode a type: Q8_1")
