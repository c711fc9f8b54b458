from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter import input_checks, weight_change
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import save

Q, V = "unet.mid_block.attentions.0.to_q", "unet.mid_block.attentions.0.to_v"


def peft(rank: int = 8) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    generator = np.random.default_rng(1)
    return {
        f"{key}.lora_{part}.weight": generator.standard_normal(shape).astype(np.float32)
        for key in (Q, V)
        for part, shape in (("A", (rank, 16)), ("B", (24, rank)))
    }


def scales(path: Path) -> dict[str, float]:
    modules = layout_of(read_tensors(path)).modules
    assert not [p for p in map(input_checks.problem, modules.values()) if p]
    return {key: weight_change.scale(module) for key, module in modules.items()}


def packed(**config: object) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in config.items()})}


@pytest.mark.parametrize(
    ("config", "q", "v"),
    [
        ({"r": 8, "lora_alpha": 4}, 4 / 8, 4 / 8),
        ({"r": 8, "lora_alpha": 4, "use_rslora": True}, 4 / 8**0.5, 4 / 8**0.5),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"to_q": 12}}, 12 / 8, 4 / 8),
        ({"r": 4, "lora_alpha": 4, "rank_pattern": {"to_q": 8, "attentions.0.to_v": 8}}, 4 / 8, 4 / 8),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"^mid_block.attentions.0.to_v$": 2}}, 4 / 8, 2 / 8),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"o_q": 12}}, 4 / 8, 4 / 8),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_alpha_of_diffusers_and_of_peft_counts(
    tmp_path: Path, config: dict[str, object], q: float, v: float, *, beside: bool
) -> None:
    if beside:
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    path = save(tmp_path / "a.safetensors", peft(), metadata={} if beside else packed(**config))
    assert scales(path) == {Q: pytest.approx(q), V: pytest.approx(v)}


def test_a_tensor_of_alpha_comes_before_the_metadata_and_must_agree_with_them(tmp_path: Path) -> None:
    alphas = {f"{key}.alpha": np.array(4, np.float32) for key in (Q, V)}
    path = save(tmp_path / "a.safetensors", peft() | alphas, metadata=packed(r=8, lora_alpha=4))
    assert scales(path) == {Q: 0.5, V: 0.5}
    other = save(tmp_path / "b.safetensors", peft() | alphas, metadata=packed(r=8, lora_alpha=16))
    module = layout_of(read_tensors(other)).modules[Q]
    assert input_checks.problem(module) == (
        f"{Q} has a scale of 0.5 by its alpha, and of 2 by lora_adapter_metadata"
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"r": 4, "lora_alpha": 4}, "has rank 8, lora_adapter_metadata declares 4"),
        ({"r": 8, "lora_alpha": "x"}, "is no such number"),
        ({"r": 8, "lora_alpha": 0}, "has alpha 0"),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"(a+)+$": 1}}, "which is no plain name"),
        ({"r": 8, "lora_alpha": 4, "init_lora_weights": "pissa"}, "changes the base model too"),
        ({"r": 8, "lora_alpha": 4, "fan_in_fan_out": True}, "fan_in_fan_out is set"),
    ],
)
def test_what_cannot_be_used_is_a_problem(tmp_path: Path, config: dict[str, object], words: str) -> None:
    path = save(tmp_path / "a.safetensors", peft(), metadata=packed(**config))
    assert words in input_checks.problem(layout_of(read_tensors(path)).modules[Q])


def test_a_text_that_is_no_json_is_a_problem(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", peft(), metadata={"lora_adapter_metadata": "[1"})
    assert "is no JSON object" in input_checks.problem(layout_of(read_tensors(path)).modules[Q])
    (tmp_path / "adapter_config.json").write_bytes(b"\xff")
    path = save(tmp_path / "b.safetensors", peft(), metadata={})
    assert "is no JSON object" in input_checks.problem(layout_of(read_tensors(path)).modules[Q])


def test_the_alpha_of_kohya_counts_if_the_tensors_are_missing(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    linear, kernel = "lora_unet_a_to_q", "lora_unet_b_conv1"
    arrays = {
        f"{linear}.lora_down.weight": generator.standard_normal((4, 16)).astype(np.float32),
        f"{linear}.lora_up.weight": generator.standard_normal((24, 4)).astype(np.float32),
        f"{kernel}.lora_down.weight": generator.standard_normal((4, 16, 3, 3)).astype(np.float32),
        f"{kernel}.lora_up.weight": generator.standard_normal((24, 4, 1, 1)).astype(np.float32),
    }
    declared = {"ss_network_alpha": "2.0", "ss_network_args": json.dumps({"conv_alpha": "1"})}
    path = save(tmp_path / "a.safetensors", arrays, metadata=declared)
    assert scales(path) == {linear: 2 / 4, kernel: 1 / 4}
    assert set(scales(save(tmp_path / "b.safetensors", peft(), metadata=declared)).values()) == {1.0}
    none = save(tmp_path / "c.safetensors", arrays, metadata={"ss_network_alpha": "None"})
    assert set(scales(none).values()) == {1.0}


def test_peft_scales_a_lokr_of_whole_matrices_and_lycoris_does_not(tmp_path: Path) -> None:
    arrays = {f"{Q}.lokr_w1": np.ones((2, 2), np.float32), f"{Q}.lokr_w2": np.ones((3, 4), np.float32)}
    path = save(tmp_path / "a.safetensors", arrays, metadata={})
    change = weight_change.weight_change(layout_of(read_tensors(path)).modules[Q])
    assert weight_change.norm(change) == pytest.approx(48**0.5)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LOKR", "r": 8, "alpha": 4}))
    change = weight_change.weight_change(layout_of(read_tensors(path)).modules[Q])
    assert weight_change.norm(change) == pytest.approx(0.5 * 48**0.5)
