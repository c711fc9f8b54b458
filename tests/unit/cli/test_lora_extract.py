from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.formats.read import read_tensors
from tests.unit.converter.model_pairs import PROJ, difference, flux, tuned, written
from tests.unit.converter.rewritten_tensors import delta, stored

KEY = f"lora_unet_{PROJ.replace('.', '_')}"


def extract(*words: object) -> int:
    return main(["lora", "extract", *map(str, words)])


def test_a_lora_of_two_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = flux()
    after = tuned(before, f"{PROJ}.weight", f"{PROJ}.bias", rank=2)
    files, target = written(tmp_path, before, after), tmp_path / "lora.safetensors"
    assert extract(*files, target, "--rank", 2, "-v") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        f"{target}: 1 module of rank 2, 1 of biases and norms, relative error of ΔW 0.00"
    )
    assert lines[1].endswith(KEY)
    wanted = difference(before, after, f"{PROJ}.weight")
    error = np.linalg.norm(delta(stored(target), KEY, (32, 32)) - wanted) / np.linalg.norm(wanted)
    assert error < 1e-3
    kinds = {name: tensor.kind for name, tensor in read_tensors(target).tensors.items()}
    assert kinds[f"{KEY}.lora_up.weight"] == "F16"
    assert kinds[f"{KEY}.diff_b"] == "F32"


def test_ranks_by_loss_types_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = flux()
    files = written(tmp_path, before, tuned(before, f"{PROJ}.weight", rank=32))
    target = tmp_path / "lora.gguf"
    options = ("--keep", "90%", "--names", "comfy", "--type", "Q8_0", "--weights-only", "--json")
    assert extract(*files, target, *options) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["target"], data["base"], data["tuned"]) == (
        "lora.gguf",
        "base.safetensors",
        "tuned.safetensors",
    )
    [module] = data["modules"]
    assert module["key"] == f"diffusion_model.{PROJ}"
    assert module["error"] <= np.sqrt(0.1)
    assert data["notes"] == ["the error is that before rounding to Q8_0"]
    assert read_tensors(target).tensors[f"diffusion_model.{PROJ}.lora_A.weight"].kind == "Q8_0"


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = flux()
    base, after = written(tmp_path, before, tuned(before, f"{PROJ}.weight"))
    target = tmp_path / "lora.safetensors"
    assert extract(base, base, target, "--rank", 2) == 56
    assert extract(base, tmp_path / "none.safetensors", target, "--rank", 2) == 51
    assert extract(base, after, base, "--rank", 2) == 53
    with pytest.raises(SystemExit):
        extract(base, after, target)
    assert not target.exists()
    target.write_bytes(b"kept")
    assert extract(base, after, target, "--rank", 2, "--no-clobber") == 53
    assert target.read_bytes() == b"kept"
    assert "no layer differs from base.safetensors" in capsys.readouterr().err
