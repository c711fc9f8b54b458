from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.converter import requirements
from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from harness.records.verdict import Verdict
from tests.unit.converter.lora_files import pair, save

Q = "lora_unet_double_blocks_0_img_attn_proj"


def found(path: Path) -> list[requirements.Shortcoming]:
    return requirements.shortcomings(read_tensors(path))


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_a_float_safetensors_lora_needs_nothing(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "a.safetensors", pair(key=Q))
    convert(path, tmp_path / "b.safetensors", [kind], PackageQuantiser())
    assert not found(tmp_path / "b.safetensors")
    assert requirements.described([]) == []


def test_a_quantised_file_works_at_run_time_or_with_patches(tmp_path: Path) -> None:
    convert(save(tmp_path / "a.safetensors", pair(key=Q)), tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    told = {(each.revision, each.verdict, each.modes) for each in found(tmp_path / "b.gguf")}
    every = ("auto", "at_runtime", "immediately")
    assert ("2025-12", Verdict.NO_EFFECT, every) in told
    assert ("2026-05", Verdict.ABORT, ("auto", "immediately")) in told
    lines = requirements.described(found(tmp_path / "b.gguf"))
    assert lines[0] == "without patches, 2025-12 ignores it in every mode"
    assert lines[1].startswith("without patches, 2026-05 and 2026-07 abort in mode auto and immediately")
    assert lines[-1] == (
        "what to do: use --lora-apply-mode at_runtime with 2026-05 and 2026-07, "
        "or build with the patches lora-find-gguf and lora-cast-quantized (sdcpp build)"
    )
    verbose = requirements.described(found(tmp_path / "b.gguf"), verbose=True)
    assert "ggml_ext_cast_f32" in verbose[1]


def test_rank_1_is_ignored(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair(rank=1, key=Q))
    assert {(each.verdict, each.patch) for each in found(path)} == {(Verdict.NO_EFFECT, "lora-rank-one")}


def test_what_no_patch_fixes_is_merged_beforehand(tmp_path: Path) -> None:
    arrays = pair(key=Q) | {f"{Q}.dora_scale": np.ones((64, 1), np.float32)}
    of_dora = found(save(tmp_path / "a.safetensors", arrays))
    lines = requirements.described([replace(each, patch="") for each in of_dora])
    assert lines[0].endswith("apply it wrongly in every mode")
    assert lines[-1] == "what to do: merge it into the model (sdcpp lora merge)"


def test_names_that_only_a_unet_loses(tmp_path: Path) -> None:
    unet = pair(key="lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q")
    assert {each.patch for each in found(save(tmp_path / "a.safetensors", unet))} == {"lora-lycoris-names"}
    flux = pair(key="lycoris_single_transformer_blocks_0_proj_mlp")
    assert not found(save(tmp_path / "b.safetensors", flux))


@pytest.mark.parametrize("form", ["lokr_w1", "lokr_w1_a"])
def test_a_lokr_that_is_a_product(tmp_path: Path, form: str) -> None:
    arrays = {f"{Q}.lokr_w2_a": np.ones((16, 4), np.float32), f"{Q}.lokr_w2_b": np.ones((4, 16), np.float32)}
    arrays |= {f"{Q}.{form}": np.ones((4, 4), np.float32)}
    if form == "lokr_w1_a":
        arrays[f"{Q}.lokr_w1_b"] = np.ones((4, 4), np.float32)
    told = found(save(tmp_path / "a.safetensors", arrays))
    assert {each.patch for each in told} == {"lokr-factor-order"}
    assert {each.modes for each in told} == {("at_runtime",)}
