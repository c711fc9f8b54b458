from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.low_rank import RankChoice
from harness.converter.resize import resize
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import KEY, Arrays, dense, pair, save


@pytest.mark.parametrize("suffix", ["safetensors", "gguf", "ckpt"])
def test_a_smaller_rank_is_the_best_approximation_with_the_same_scale(tmp_path: Path, suffix: str) -> None:
    metadata = {"ss_network_dim": "32", "ss_network_alpha": "16", "sshs_model_hash": "0", "kept": "1"}
    source = save(tmp_path / f"a.{suffix}", pair() | pair(key="lora_te_x", seed=2), metadata=metadata)
    target = tmp_path / f"b.{suffix}"
    found = resize(source, target, RankChoice(rank=8))
    wanted, got = dense(source), dense(target)
    for key in (KEY, "lora_te_x"):
        sigma = np.linalg.svd(wanted[key], compute_uv=False)
        error = np.linalg.norm(got[key] - wanted[key])
        assert error == pytest.approx(np.sqrt(np.sum(sigma[8:] ** 2)), rel=1e-4)
    after = read_tensors(target)
    assert after.tensors[f"{KEY}.lora_down.weight"].shape == (8, 96)
    assert after.tensors[f"{KEY}.alpha"].values().item() == 4
    assert {k: v.value for k, v in after.metadata.items() if k in (*metadata,)} == {
        "ss_network_dim": "8",
        "ss_network_alpha": "Dynamic",
        "kept": "1",
    }
    assert found.error == pytest.approx(compare(source, target).relative, rel=1e-3)


@pytest.mark.parametrize(("loss", "most"), [(0.3, 0.3), (0.05, 0.05)])
def test_the_rank_by_loss_is_the_smallest(tmp_path: Path, loss: float, most: float) -> None:
    source = save(tmp_path / "a.safetensors", pair(rank=24) | pair(rank=8, key="lora_te_x"))
    found = resize(source, tmp_path / "b.safetensors", RankChoice(error=loss))
    for each in found.modules:
        assert each.after is not None
        sigma = np.linalg.svd(dense(source)[each.key], compute_uv=False)
        tails = np.sqrt(np.cumsum((sigma**2)[::-1])[::-1] / np.sum(sigma**2))
        assert tails[each.after] <= most if each.after < len(tails) else True
        assert tails[each.after - 1] > most
    assert compare(source, tmp_path / "b.safetensors").relative <= most * 1.001


def test_other_kinds_become_plain_loras_and_the_rest_is_copied(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)

    def random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return generator.standard_normal(shape).astype(np.float32)

    arrays: Arrays = {
        "lora_unet_a.hada_w1_a": random(12, 2),
        "lora_unet_a.hada_w1_b": random(2, 10),
        "lora_unet_a.hada_w2_a": random(12, 2),
        "lora_unet_a.hada_w2_b": random(2, 10),
        "lora_unet_a.alpha": np.array(1, np.float32),
        "lora_unet_b.lokr_w1": random(2, 2),
        "lora_unet_b.lokr_w2": random(3, 4),
        "lora_unet_c.diff": random(6, 5),
        "lora_unet_d.diff": random(6),
        "lora_unet_e.lora_mid.weight": random(3, 3, 3, 3),
        "lora_unet_e.lora_up.weight": random(8, 3, 1, 1),
        "lora_unet_e.lora_down.weight": random(3, 7, 1, 1),
        "lora_unet_f.lora_down.weight": random(2, 7, 3, 3).astype(np.float16),
        "lora_unet_f.lora_up.weight": random(5, 2, 1, 1).astype(np.float16),
        "lora_unet_f.diff_b": random(5),
        "lora_unet_f.dora_scale": random(5, 1, 1, 1),
    }
    source = save(tmp_path / "a.safetensors", arrays)
    target = tmp_path / "b.safetensors"
    found = resize(source, target, RankChoice(error=1e-6))
    assert compare(source, target).relative < 1e-3
    after = read_tensors(target).tensors
    assert after["lora_unet_e.lora_down.weight"].shape == (3, 7, 3, 3)
    assert after["lora_unet_f.lora_down.weight"].kind == "F16"
    assert {each.key: each.after for each in found.modules}["lora_unet_a"] == 4
    assert found.copied == 1
    for name in ("lora_unet_d.diff", "lora_unet_f.diff_b", "lora_unet_f.dora_scale"):
        assert np.array_equal(after[name].values(), arrays[name])
    resize(source, target, RankChoice(rank=1))
    assert read_tensors(target).tensors["lora_unet_c.lora_up.weight"].shape == (6, 1)


def test_quantised_factors_become_floats_and_small_ranks_stay(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    convert(source, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    resize(tmp_path / "b.gguf", tmp_path / "c.gguf", RankChoice(rank=16))
    assert read_tensors(tmp_path / "c.gguf").tensors[f"{KEY}.lora_up.weight"].kind == "F16"
    found = resize(tmp_path / "b.gguf", tmp_path / "d.gguf", RankChoice(rank=32))
    assert (found.modules, found.copied) == ([], 1)
    assert read_tensors(tmp_path / "d.gguf").tensors[f"{KEY}.lora_up.weight"].kind == "Q8_0"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = save(tmp_path / "a.safetensors", pair()), tmp_path / "b.safetensors"
    assert main(["lora", "resize", str(source), str(target), "--keep", "99%", "-v"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{target}: 1 module of rank ")
    assert said[1].endswith(KEY)
    assert float(said[1].split("%")[0]) <= 10
    assert main(["lora", "resize", str(source), str(source), "--rank", "4"]) == 53
    with pytest.raises(SystemExit):
        main(["lora", "resize", str(source), str(target)])
