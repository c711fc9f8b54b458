from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
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
