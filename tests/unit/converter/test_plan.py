from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, pair, save


def test_each_tensor_gets_a_type_and_a_reason(tmp_path: Path) -> None:
    arrays = (
        pair() | pair(rank=8, key="lora_unet_block_out", inner=40) | {"x.diff_b": np.ones(64, np.float32)}
    )
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    plans = {f.tensor.name.removeprefix("lora_unet_"): (f.kind, f.why) for f in done.plans}
    assert plans["block_proj.lora_down.weight"] == ("Q8_0", "as requested")
    assert plans["block_out.lora_up.weight"] == ("F16", "rows of 8 are not whole blocks of 32 (Q8_0)")
    assert plans["block_out.lora_down.weight"] == ("F16", "rows of 40 are not whole blocks of 32 (Q8_0)")
    assert plans["block_proj.alpha"] == ("F32", "scalars are never quantised")
    assert plans["x.diff_b"] == ("F16", "vectors are never quantised")
    assert {n: t.kind for n, t in read_tensors(tmp_path / "b.gguf").tensors.items()} == {
        f.tensor.name: f.kind for f in done.plans
    }
    assert 8.5 < done.bits < 16


def test_values_beyond_the_range_of_f16_stay_f32(tmp_path: Path) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_up.weight"][3, 3] = 1e5
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["F16"])
    reasons = {f.tensor.name: f.why for f in done.plans if f.kind == "F32"}
    assert reasons[f"{KEY}.lora_up.weight"] == "values beyond the range of F16"
