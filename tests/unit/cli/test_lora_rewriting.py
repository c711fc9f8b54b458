from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from tests.unit.converter.lora_files import pair, save
from tests.unit.converter.rewritten_tensors import close, delta, product, stored

KEY, PUBLISHED = "lora_unet_double_blocks_0_img_attn_proj", "diffusion_model.double_blocks.0.img_attn.proj"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(tmp_path / "a.safetensors", pair(rank=1, key=KEY))


def convert(source: Path, target: Path, *options: str) -> int:
    return main(["lora", "convert", str(source), str(target), *options])


def test_a_file_for_a_revision(source: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path) -> None:
    assert not cache_folder.exists()
    target = source.with_name("b.safetensors")
    assert convert(source, target, "--for", "2026-05") == 0
    said = capsys.readouterr().out
    assert "1 module padded to rank 2" in said
    assert said.splitlines()[-1] == "without patches, 2026-05 applies this file in every mode"
    tensors = stored(source)
    wanted = 0.5 * product(tensors[f"{KEY}.lora_up.weight"], tensors[f"{KEY}.lora_down.weight"])
    assert close(delta(stored(target), PUBLISHED, wanted.shape), wanted)


def test_the_result_as_json(source: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path) -> None:
    assert not cache_folder.exists()
    assert convert(source, source.with_name("b.safetensors"), "--for", "unpatched", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["source"] == "a.safetensors"
    assert data["rewritten"] == {"padded to rank 2": 1}
    assert data["left_out"] == []


def test_what_a_revision_cannot_have(
    source: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path
) -> None:
    assert not cache_folder.exists()
    assert convert(source, source.with_name("b.gguf"), "--for", "2025-12") == 52
    assert "A GGUF LoRA is not found" in capsys.readouterr().err
    assert convert(source, source.with_name("b.gguf"), "--for", "2026-05", "--type", "Q8_0") == 52
    assert convert(source, source.with_name("b.gguf"), "--for", "0.4.4") == 10
    dora = save(
        source.with_name("dora.safetensors"),
        pair(key=KEY) | {f"{KEY}.dora_scale": np.ones((64, 1), np.float32)},
    )
    assert convert(dora, source.with_name("b.safetensors"), "--for", "2026-05") == 56
    assert "add --base-model MODEL" in capsys.readouterr().err
    assert not source.with_name("b.safetensors").exists()
    with pytest.raises(SystemExit):
        convert(source, source.with_name("b.gguf"), "--for", "2026-05", "--max-loss", "2%")


def test_a_dora_with_its_base_model(source: Path, cache_folder: Path) -> None:
    assert not cache_folder.exists()
    magnitudes = np.full((64, 1), 2, np.float32)
    dora = save(source.with_name("dora.safetensors"), pair(key=KEY) | {f"{KEY}.dora_scale": magnitudes})
    weight = np.eye(64, 96, dtype=np.float32)
    base = save(
        source.with_name("base.safetensors"),
        {"model.diffusion_model.double_blocks.0.img_attn.proj.weight": weight},
    )
    target = source.with_name("b.safetensors")
    assert convert(dora, target, "--for", "2026-05", "--base-model", str(base)) == 0
    tensors = stored(dora)
    total = weight + 0.5 * product(tensors[f"{KEY}.lora_up.weight"], tensors[f"{KEY}.lora_down.weight"])
    wanted = 2 * total / np.linalg.norm(total, axis=1, keepdims=True) - weight
    assert close(stored(target)[f"{PUBLISHED}.diff"], wanted)
    assert convert(dora, target, "--for", "2026-05", "--base-model", str(base), "--rank", "64") == 0
    error = np.linalg.norm(delta(stored(target), PUBLISHED, (64, 96)) - wanted)
    assert error <= 1e-5 * np.linalg.norm(wanted)
    with pytest.raises(SystemExit):
        convert(dora, target, "--rank", "4")


def test_names_of_another_program(
    source: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path
) -> None:
    assert not cache_folder.exists()
    target = source.with_name("b.safetensors")
    assert convert(source, target, "--names", "BFL") == 0
    assert "1 module renamed" in capsys.readouterr().out
    assert set(stored(target)) == {
        f"{PUBLISHED}{end}" for end in (".lora_A.weight", ".lora_B.weight", ".alpha")
    }
    with pytest.raises(SystemExit):
        convert(source, target, "--names", "nobody")
    assert "is none of kohya, diffusers, comfy, onetrainer" in capsys.readouterr().err
