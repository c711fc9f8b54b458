from __future__ import annotations

from pathlib import Path

from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, pair, save


def test_a_padded_rank_keeps_its_scale(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=20))
    convert(a, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser(), rebalance=True, pad=True)
    tensors = read_tensors(tmp_path / "b.gguf").tensors
    assert tensors[f"{KEY}.lora_up.weight"].shape == (64, 32)
    assert tensors[f"{KEY}.lora_up.weight"].kind == "Q8_0"
    assert tensors[f"{KEY}.alpha"].values().item() == 16
    assert compare(a, tmp_path / "b.gguf").relative < 0.01
