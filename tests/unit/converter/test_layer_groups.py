from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import layer_change, layer_groups
from harness.converter.layer_groups import LayerGroup, dense, groups, row_change, weight_shape
from harness.converter.modules import Module, layout_of
from harness.converter.weight_change import LowRank, WeightChange
from harness.formats.read import read_tensors
from harness.layers.flux import FLUX
from harness.layers.layer import Name
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, save
from tests.unit.converter.rewritten_tensors import draw, product

STEM = "transformer.transformer_blocks.0.attn"
THIRDS = (1, 1, 1)


def lora(key: str, rows: int, rank: int = 2) -> Arrays:
    return {f"{key}.lora_A.weight": draw(rank, 8), f"{key}.lora_B.weight": draw(rows, rank)}


def grouped(folder: Path, arrays: Arrays) -> list[LayerGroup]:
    return groups(layout_of(read_tensors(save(folder / "a.safetensors", arrays))), FLUX)


def change(module: Module, parameter: str) -> WeightChange:
    return layer_change.changes(module)[parameter]


def test_pieces_of_a_layer_form_a_group(tmp_path: Path) -> None:
    found = grouped(tmp_path, lora(f"{STEM}.to_q", 8) | lora(f"{STEM}.to_v", 8) | lora(f"{STEM}.to_out.0", 8))
    assert [(group.layer, len(group.modules)) for group in found] == [
        ("double_blocks_0_img_attn_qkv", 2),
        ("double_blocks_0_img_attn_proj", 1),
    ]


def test_the_change_of_rows(tmp_path: Path) -> None:
    q, v = lora(f"{STEM}.to_q", 8), lora(f"{STEM}.to_v", 8, rank=3)
    (group,) = grouped(tmp_path, q | v)
    of_q, of_v = (
        product(part[f"{key}.lora_B.weight"], part[f"{key}.lora_A.weight"])
        for part, key in ((q, f"{STEM}.to_q"), (v, f"{STEM}.to_v"))
    )
    whole = row_change(group, Name(text="x"), "weight", change)
    assert isinstance(whole, LowRank)
    assert whole.left.shape == (24, 5)
    assert np.allclose(dense(whole), np.concatenate([of_q, np.zeros((8, 8)), of_v]))
    swapped = row_change(group, Name(text="x", units=THIRDS, take=(2, 0)), "weight", change)
    assert swapped is not None
    assert np.allclose(dense(swapped), np.concatenate([of_v, of_q]))
    assert row_change(group, Name(text="x", units=THIRDS, take=(1,)), "weight", change) is None
    assert row_change(group, Name(text="x"), "bias", change) is None


def test_the_module_that_stands_for_a_name(tmp_path: Path) -> None:
    (group,) = grouped(tmp_path, lora(f"{STEM}.to_q", 8) | lora(f"{STEM}.to_v", 8))
    exact = group.exact(Name(text="x", units=THIRDS, take=(2,)))
    assert exact is not None
    assert exact.key == f"{STEM}.to_v"
    assert group.exact(Name(text="x")) is None
    assert group.touching(Name(text="x", units=THIRDS, take=(1,))) == []


def test_two_modules_for_the_same_rows_are_refused(tmp_path: Path) -> None:
    fused = lora("diffusion_model.double_blocks.0.img_attn.qkv", 24)
    (group,) = grouped(tmp_path, fused | lora(f"{STEM}.to_q", 8))
    with pytest.raises(AdapterUnknown, match="two modules change the same rows"):
        row_change(group, Name(text="x"), "weight", change)


def test_pieces_of_different_widths_are_refused(tmp_path: Path) -> None:
    (group,) = grouped(tmp_path, lora(f"{STEM}.to_q", 8) | lora(f"{STEM}.to_v", 16))
    with pytest.raises(AdapterUnknown, match="different widths"):
        row_change(group, Name(text="x"), "weight", change)


@pytest.mark.parametrize(
    ("arrays", "shape"),
    [
        ({"k.lora_down.weight": draw(2, 8, 3, 3), "k.lora_up.weight": draw(6, 2, 1, 1)}, (6, 8, 3, 3)),
        (
            {
                "k.lora_down.weight": draw(2, 8, 1, 1),
                "k.lora_mid.weight": draw(2, 2, 3, 3),
                "k.lora_up.weight": draw(6, 2, 1, 1),
            },
            (6, 8, 3, 3),
        ),
        ({f"k.hada_w{i}_{s}": draw(*((6, 2) if s == "a" else (2, 8))) for i in (1, 2) for s in "ab"}, (6, 8)),
        ({"k.lokr_w1": draw(2, 4), "k.lokr_w2": draw(3, 2, 3, 3)}, (6, 8, 3, 3)),
        ({"k.lokr_w1_a": draw(2, 1), "k.lokr_w1_b": draw(1, 4), "k.lokr_w2": draw(3, 2)}, (6, 8)),
        ({"k.lokr_w1": draw(2, 4), "k.lokr_w2_a": draw(3, 2), "k.lokr_w2_b": draw(2, 18)}, (6, 72)),
        (
            {
                "k.lokr_w1": draw(2, 4),
                "k.lokr_t2": draw(2, 2, 3, 3),
                "k.lokr_w2_a": draw(2, 3),
                "k.lokr_w2_b": draw(2, 2),
            },
            (6, 8, 3, 3),
        ),
        ({"k.diff_b": draw(6)}, (6,)),
    ],
)
def test_the_shape_of_a_weight(tmp_path: Path, arrays: Arrays, shape: tuple[int, ...]) -> None:
    (module,) = layout_of(read_tensors(save(tmp_path / "a.safetensors", arrays))).modules.values()
    assert weight_shape(module) == shape


def test_sdxl_is_told_by_its_depth(tmp_path: Path) -> None:
    key = "lora_unet_middle_block_1_transformer_blocks_{}_attn1_to_q"
    for depth, sdxl in ((0, False), (4, True)):
        file = read_tensors(save(tmp_path / "a.safetensors", lora(key.format(depth), 8)))
        assert layer_groups.is_sdxl(layout_of(file)) is sdxl
