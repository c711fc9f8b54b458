from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import weight_change
from harness.converter.decomposition import BaseModel
from harness.converter.modules import Module, layout_of
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, pair, save
from tests.unit.converter.rewritten_tensors import draw, product

LAYER = "double_blocks.0.img_attn.proj"
KEY = "lora_unet_double_blocks_0_img_attn_proj"


def dora(folder: Path) -> tuple[Module, Arrays]:
    arrays = pair(rank=4, out=16, inner=12, key=KEY) | {f"{KEY}.dora_scale": np.abs(draw(16, 1))}
    file = read_tensors(save(folder / "a.safetensors", arrays))
    return layout_of(file).modules[KEY], arrays


def test_the_change_of_a_dora(tmp_path: Path) -> None:
    module, arrays = dora(tmp_path)
    weight = draw(16, 12)
    base = read_tensors(save(tmp_path / "base.safetensors", {f"{LAYER}.weight": weight})).tensors
    found = weight_change.rows(BaseModel(base).change(module, "weight"), 0, 16)
    total = weight.astype(np.float64) + 0.5 * product(
        arrays[f"{KEY}.lora_up.weight"], arrays[f"{KEY}.lora_down.weight"]
    )
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(found, arrays[f"{KEY}.dora_scale"] * total / lengths - weight)


def test_what_is_missing(tmp_path: Path) -> None:
    module, _ = dora(tmp_path)
    with pytest.raises(AdapterUnknown, match="add --base-model MODEL"):
        BaseModel(None).change(module, "weight")
    for name, shape, message in (
        ("other.weight", (16, 12), "no such layer"),
        (f"{LAYER}.weight", (16, 24), r"\[16, 24\] where the adapter changes \[16, 12\]"),
    ):
        base = read_tensors(save(tmp_path / "base.safetensors", {name: draw(*shape)})).tensors
        with pytest.raises(AdapterUnknown, match=message):
            BaseModel(base).change(module, "weight")
