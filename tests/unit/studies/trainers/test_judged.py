from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.models.tiny_models import FLUX_THIN
from harness.studies.trainers import judged, named_weights
from harness.studies.trainers.writers import Written

LAYER = "transformer_blocks.0.attn.to_k"
QKV = "model.diffusion_model.double_blocks.0.img_attn.qkv.weight"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A LoRA of PEFT's format for one layer, and the weights merged by a plain product."""
    generator = np.random.default_rng(1)
    down = generator.standard_normal((4, 256)).astype(np.float32)
    up = generator.standard_normal((256, 4)).astype(np.float32)
    folder = tmp_path / "written"
    folder.mkdir()
    file = folder / "lora.safetensors"
    prefix = f"transformer.{LAYER}"
    write_arrays(file, "safetensors", {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up})
    base, merged = folder / "base.safetensors", folder / "merged.safetensors"
    named_weights.write(FLUX_THIN, base)
    weights = {
        name: tensor.values().astype(np.float64) for name, tensor in read_tensors(base).tensors.items()
    }
    weights[f"{LAYER}.weight"] += up.astype(np.float64) @ down.astype(np.float64)
    write_arrays(merged, "safetensors", weights)
    return Written(writer="peft-lora", file=file, merged=merged, error="")


def test_the_converter_is_exact_for_a_plain_lora(written: Written, tmp_path: Path) -> None:
    error, refusal = judged.converter_errors(FLUX_THIN, written, tmp_path)
    assert refusal == ""
    assert error is not None
    assert error < 1e-12


def test_a_file_that_the_converter_refuses(written: Written, tmp_path: Path) -> None:
    write_arrays(written.file, "safetensors", {"unknown.thing": np.ones((4, 4), np.float32)})
    error, refusal = judged.converter_errors(FLUX_THIN, written, tmp_path)
    assert error is None
    assert refusal == "no tensor of an adapter was found: lora.safetensors"


def test_the_error_is_relative_to_the_change() -> None:
    tensor = ("model", "w")
    base, wanted = {tensor: np.zeros((2, 2))}, {tensor: np.full((2, 2), 2.0)}
    assert judged.relative_error(base, wanted, {"w": np.full((2, 2), 1.0)}) == 0.5
    assert judged.relative_error(base, wanted, {"w": np.full((2, 2), 2.0)}) == 0.0


def test_the_wanted_picture_is_that_of_the_merged_weights(written: Written, tmp_path: Path) -> None:
    cases = judged.cases(FLUX_THIN, written, tmp_path)
    assert [case.dimensions["mode"] for case in cases] == ["immediately", "at_runtime"]
    case = cases[0]
    assert case.shot.sequence[0][0].file.path == written.file
    assert case.wanted is not None
    assert case.wanted.base.digest != FLUX_THIN.digest
    file = case.wanted.base.make()["diffusion_model"]
    tensors = read_tensors(file).tensors
    wanted = named_weights.read_merged(FLUX_THIN, written.merged)["model", QKV]
    found = tensors[QKV.removeprefix("model.diffusion_model.")].values()
    assert np.array_equal(found, wanted.astype(np.float32))
    assert len(tensors) == len(FLUX_THIN.targets)
