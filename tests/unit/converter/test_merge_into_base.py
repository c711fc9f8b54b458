from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.merge_into_base import WeightedAdapter, merge, parse_adapter_argument
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import KEY, dense, pair, save


def test_merging_adds_each_change_times_its_multiplier(tmp_path: Path) -> None:
    weight = np.random.default_rng(5).standard_normal((64, 96)).astype(np.float32)
    bias = np.ones(64, np.float32)
    base = save(
        tmp_path / "base.safetensors",
        {"model.diffusion_model.block.proj.weight": weight, "model.diffusion_model.block.proj.bias": bias},
    )
    a = save(tmp_path / "a.safetensors", pair() | {f"{KEY}.diff_b": bias})
    merge(
        base, [WeightedAdapter(path=a, multiplier=0.5), WeightedAdapter(path=a)], tmp_path / "m.safetensors"
    )
    merged = read_tensors(tmp_path / "m.safetensors").tensors
    wanted = weight + 1.5 * dense(a)[KEY]
    assert np.array_equal(
        merged["model.diffusion_model.block.proj.weight"].values(), wanted.astype(np.float32)
    ) or np.allclose(merged["model.diffusion_model.block.proj.weight"].values(), wanted, rtol=1e-6)
    assert np.allclose(merged["model.diffusion_model.block.proj.bias"].values(), 2.5)
    merge(base, [WeightedAdapter(path=a)], tmp_path / "m.gguf", ["Q8_0"], PackageQuantiser())
    assert read_tensors(tmp_path / "m.gguf").tensors["model.diffusion_model.block.proj.weight"].kind == "Q8_0"
    with pytest.raises(AdapterUnknown, match="no weight for lora_unet_other"):
        merge(
            base,
            [WeightedAdapter(path=save(tmp_path / "o.safetensors", pair(key="lora_unet_other")))],
            tmp_path / "x.gguf",
        )
    assert not (tmp_path / "x.gguf").exists()


def test_an_adapter_argument_may_end_in_a_multiplier() -> None:
    assert parse_adapter_argument("a.gguf@0.5") == WeightedAdapter(path=Path("a.gguf"), multiplier=0.5)
    assert parse_adapter_argument("a@b.gguf") == WeightedAdapter(path=Path("a@b.gguf"))
