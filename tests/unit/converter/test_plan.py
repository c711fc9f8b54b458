from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, pair, save


def test_the_rules_of_mixed_files(tmp_path: Path) -> None:
    arrays = (
        pair() | pair(rank=8, key="lora_unet_block_out", inner=40) | {"x.diff_b": np.ones(64, np.float32)}
    )
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    told = {f.tensor.name.removeprefix("lora_unet_"): (f.kind, f.why) for f in done.plans}
    assert told["block_proj.lora_down.weight"] == ("Q8_0", "as asked")
    assert told["block_out.lora_up.weight"] == ("F16", "rows of 8 are not whole blocks of 32 (Q8_0)")
    assert told["block_out.lora_down.weight"] == ("F16", "rows of 40 are not whole blocks of 32 (Q8_0)")
    assert told["block_proj.alpha"] == ("F32", "scalars are never quantised")
    assert told["x.diff_b"] == ("F16", "vectors are never quantised")
    assert {n: t.kind for n, t in read_tensors(tmp_path / "b.gguf").tensors.items()} == {
        f.tensor.name: f.kind for f in done.plans
    }
    assert 8.5 < done.bits < 16


def test_what_f16_cannot_hold_stays_f32(tmp_path: Path) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_up.weight"][3, 3] = 1e5
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["F16"])
    told = {f.tensor.name: f.why for f in done.plans if f.kind == "F32"}
    assert told[f"{KEY}.lora_up.weight"] == "values beyond the range of F16"
