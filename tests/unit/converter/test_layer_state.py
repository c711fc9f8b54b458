from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness.converter import layer_state
from harness.converter.layer_state import LayerState
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import Arrays, save

KEY = "lora_unet_x"
RANDOM = np.random.default_rng(7)


def draw(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype(np.float32)


LORA: Arrays = {f"{KEY}.lora_down.weight": draw(4, 12), f"{KEY}.lora_up.weight": draw(8, 4)}
LOHA: Arrays = {
    f"{KEY}.hada_w{i}_{part}": draw(*shape) for i in (1, 2) for part, shape in (("a", (8, 4)), ("b", (4, 12)))
}
LOKR: Arrays = {f"{KEY}.lokr_w1": draw(2, 3), f"{KEY}.lokr_w2": draw(4, 4)}


def state(path: Path, arrays: Arrays) -> LayerState:
    [module] = layout_of(read_tensors(save(path, arrays))).modules.values()
    return layer_state.state(module)


def test_weights_biases_and_magnitudes_count(tmp_path: Path) -> None:
    bias, other, m, n = draw(8), draw(8), draw(8, 1), draw(8, 1)
    a = state(tmp_path / "a.safetensors", LORA | {f"{KEY}.diff_b": bias, f"{KEY}.dora_scale": m})
    b = state(tmp_path / "b.safetensors", LORA | {f"{KEY}.diff_b": other, f"{KEY}.dora_scale": n})
    product = LORA[f"{KEY}.lora_up.weight"].astype(np.float64) @ LORA[f"{KEY}.lora_down.weight"]
    assert layer_state.norm(a) == pytest.approx(np.sqrt((product**2).sum() + (bias.astype(float) ** 2).sum()))
    wanted = np.sqrt(((bias.astype(float) - other) ** 2).sum() + ((m.astype(float) - n) ** 2).sum())
    assert layer_state.distance(a, b) == pytest.approx(wanted, rel=1e-6)
    assert layer_state.distance(a, a) == 0


def test_replaced_values_count(tmp_path: Path) -> None:
    name = "double_blocks.0.img_attn.norm.key_norm.scale"
    new = {name: draw(8)}
    states = []
    for file, arrays in (("a", LORA | new), ("b", LORA | {name: new[name] + 1})):
        path = save(tmp_path / f"{file}.safetensors", arrays)
        states.append(layer_state.state(layout_of(read_tensors(path)).modules[name.removesuffix(".scale")]))
    assert layer_state.distance(*states) == pytest.approx(8**0.5, rel=1e-6)


@pytest.mark.parametrize("arrays", [LORA, LOHA, LOKR, {f"{KEY}.diff": draw(8, 12)}])
def test_the_parts_of_a_module_add_up(tmp_path: Path, arrays: Arrays) -> None:
    whole = state(tmp_path / "a.safetensors", arrays | {f"{KEY}.diff_b": draw(8)})
    parts = [layer_state.rows(whole, start, stop, 8) for start, stop in ((0, 3), (3, 8))]
    norms = [layer_state.norm(part) for part in parts]
    assert math.hypot(*norms) == pytest.approx(layer_state.norm(whole))
    assert parts[1].changes["weight"].shape[0] == 5
