from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import layer_change
from harness.converter.modules import Module, layout_of
from harness.converter.weight_change import Dense
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, save

RANDOM = np.random.default_rng(3)
KEY = "unet.x"


def draw(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def module_of(path: Path, arrays: Arrays) -> Module:
    [module] = layout_of(read_tensors(save(path, arrays))).modules.values()
    return module


def test_the_bias_of_the_factor_is_scaled_and_added_to_a_stored_difference(tmp_path: Path) -> None:
    arrays = {
        f"{KEY}.lora_A.weight": draw(4, 6),
        f"{KEY}.lora_B.weight": draw(8, 4),
        f"{KEY}.lora_B.bias": draw(8),
        f"{KEY}.diff_b": draw(8),
        f"{KEY}.alpha": np.array(2, np.float32),
    }
    found = layer_change.changes(module_of(tmp_path / "a.safetensors", arrays))
    wanted = 0.5 * arrays[f"{KEY}.lora_B.bias"].astype(np.float64) + arrays[f"{KEY}.diff_b"]
    bias = found["bias"]
    assert isinstance(bias, Dense)
    assert np.allclose(bias.value, wanted, rtol=1e-12)


def kernel(name: str, magnitude: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Arrays:
    return {
        f"{KEY}.lora_A.weight": draw(4, 6, 3, 3),
        f"{KEY}.lora_B.weight": draw(magnitude.size, 4, 1, 1)
        if name.startswith(".lora")
        else draw(8, 4, 1, 1),
        f"{KEY}{name}": magnitude,
    }


@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        # PEFT stores one magnitude for each output, and LyCORIS in both ways.
        (".lora_magnitude_vector", (1, 6, 1, 1), 6),
        (".lora_magnitude_vector", (1, 8, 1, 1), 8),
        (".lora_magnitude_vector", (8,), 8),
        (".dora_scale", (8, 1, 1, 1), 8),
        (".dora_scale", (1, 8, 1, 1), 8),
    ],
)
def test_the_magnitudes_of_a_convolution_belong_to_outputs(
    tmp_path: Path, name: str, shape: tuple[int, ...], outputs: int
) -> None:
    arrays = kernel(name, draw(*shape))
    module = module_of(tmp_path / "a.safetensors", arrays)
    weight = RANDOM.standard_normal((outputs, 6, 3, 3))
    up = arrays[f"{KEY}.lora_B.weight"].astype(np.float64).reshape(outputs, 4)
    delta = np.einsum("or,rihw->oihw", up, arrays[f"{KEY}.lora_A.weight"].astype(np.float64))
    total = weight + delta
    m = arrays[f"{KEY}{name}"].astype(np.float64).reshape(outputs, 1, 1, 1)
    wanted = m * total / np.sqrt((total**2).sum(axis=(1, 2, 3), keepdims=True)) - weight
    flat = (weight.reshape(outputs, -1), delta.reshape(outputs, -1))
    found = layer_change.decomposed(module, *flat, 6)
    assert np.allclose(found, wanted.reshape(outputs, -1), rtol=1e-10)


def test_older_lycoris_has_a_magnitude_for_each_input(tmp_path: Path) -> None:
    module = module_of(tmp_path / "a.safetensors", kernel(".dora_scale", draw(1, 6, 1, 1)))
    weight, delta = RANDOM.standard_normal((2, 8, 6, 3, 3))
    total = weight + delta
    m = layer_change.magnitude(module).reshape(1, 6, 1, 1)
    wanted = m * total / np.sqrt((total**2).sum(axis=(0, 2, 3), keepdims=True)) - weight
    found = layer_change.decomposed(module, weight.reshape(8, -1), delta.reshape(8, -1), 6)
    assert np.allclose(found, wanted.reshape(8, -1), rtol=1e-10)


def test_another_number_of_magnitudes_is_refused(tmp_path: Path) -> None:
    module = module_of(tmp_path / "a.safetensors", kernel(".dora_scale", draw(7, 1, 1, 1)))
    with pytest.raises(AdapterUnknown, match="7 magnitudes for a weight of 8 outputs and 6 inputs"):
        layer_change.require_magnitudes(module, 8, 6)


def test_a_replaced_weight_is_no_change(tmp_path: Path) -> None:
    new = draw(8)
    arrays = {
        "double_blocks.0.img_attn.proj.lora_A.weight": draw(4, 6),
        "double_blocks.0.img_attn.proj.lora_B.weight": draw(8, 4),
        "double_blocks.0.img_attn.norm.query_norm.scale": new,
    }
    modules = layout_of(read_tensors(save(tmp_path / "a.safetensors", arrays))).modules
    module = modules["double_blocks.0.img_attn.norm.query_norm"]
    assert module.kind == "replaced"
    assert layer_change.changes(module) == {}
    assert np.array_equal(layer_change.replacements(module)["weight"], new)
