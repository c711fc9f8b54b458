from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, pair, save


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"])
@pytest.mark.parametrize("rank", [32, 64])
def test_other_factors_lose_less_at_the_same_size(tmp_path: Path, kind: str, rank: int) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=rank, out=160, inner=192))
    plain = convert(a, tmp_path / "b.gguf", [kind], PackageQuantiser())
    better = convert(a, tmp_path / "c.gguf", [kind], PackageQuantiser(), rebalance=True)
    assert plain.after == better.after
    losses = [compare(a, tmp_path / name).relative for name in ("b.gguf", "c.gguf")]
    assert losses[1] < 0.75 * losses[0]


def test_a_padded_rank_keeps_its_scale(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=20))
    convert(a, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser(), rebalance=True, pad=True)
    tensors = read_tensors(tmp_path / "b.gguf").tensors
    assert tensors[f"{KEY}.lora_up.weight"].shape == (64, 32)
    assert tensors[f"{KEY}.lora_up.weight"].kind == "Q8_0"
    assert tensors[f"{KEY}.alpha"].values().item() == 16
    assert compare(a, tmp_path / "b.gguf").relative < 0.01
