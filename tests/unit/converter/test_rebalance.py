from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import rebalance
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import FileInvalid
from tests.unit.converter.lora_files import KEY, Arrays, pair, save


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


def test_modules_of_several_shapes_are_written_in_the_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batches of two modules of a shape, whose factors are requested one after another.
    monkeypatch.setattr(rebalance, "BATCH", 2 * (64 + 96) * 32)
    arrays: Arrays = {}
    for number, inner in enumerate((96, 128, 96, 96, 128, 64)):
        arrays |= pair(inner=inner, seed=number, key=f"lora_unet_block_{number}_proj")
    together = save(tmp_path / "together.safetensors", arrays)
    convert(together, tmp_path / "together.gguf", ["Q4_0"], PackageQuantiser(), rebalance=True)
    found = read_tensors(tmp_path / "together.gguf").tensors
    for number, inner in enumerate((96, 128, 96, 96, 128, 64)):
        alone = save(
            tmp_path / "alone.safetensors",
            pair(inner=inner, seed=number, key=f"lora_unet_block_{number}_proj"),
        )
        convert(alone, tmp_path / "alone.gguf", ["Q4_0"], PackageQuantiser(), rebalance=True)
        for name, tensor in read_tensors(tmp_path / "alone.gguf").tensors.items():
            assert tensor.raw().tobytes() == found[name].raw().tobytes()


def test_a_factor_that_is_not_finite_is_refused_by_name(tmp_path: Path) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_down.weight"][3, 4] = np.nan
    source = save(tmp_path / "a.safetensors", arrays)
    with pytest.raises(FileInvalid, match=f"{KEY}.lora_down.weight: NaN or infinity"):
        convert(source, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser(), force=True, rebalance=True)
    assert sorted(tmp_path.iterdir()) == [source]
