from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.adapter import merge
from tests.unit.small import ADAPTER, BASE

KEY = "lora_unet_block_proj"


def test_shapes_and_names_are_kohyas() -> None:
    tensors = ADAPTER.tensors(BASE)
    assert tensors[f"{KEY}.lora_down.weight"].shape == (4, 32)
    assert tensors[f"{KEY}.lora_up.weight"].shape == (64, 4)
    assert tensors[f"{KEY}.alpha"].tolist() == [2.0]
    assert len(tensors) == 3 * len(BASE.targets)


def test_strength_is_the_norm_of_the_change_over_that_of_the_weight() -> None:
    tensors = {k: v.astype(np.float64) for k, v in ADAPTER.tensors(BASE).items()}
    change = 2.0 / 4 * tensors[f"{KEY}.lora_up.weight"] @ tensors[f"{KEY}.lora_down.weight"]
    assert np.linalg.norm(change) / np.linalg.norm(BASE.weight("block.proj")) == pytest.approx(1.0, rel=0.35)


def test_merging_follows_the_definition_element_by_element() -> None:
    tensors = ADAPTER.tensors(BASE)
    merged = merge(BASE, tensors, multiplier=0.5)["model", "block.proj.weight"]
    up, down = tensors[f"{KEY}.lora_up.weight"], tensors[f"{KEY}.lora_down.weight"]
    for row, column in ((0, 0), (63, 31), (17, 5)):
        change = sum(float(up[row, r]) * float(down[r, column]) for r in range(4)) * 0.5 * 2.0 / 4
        assert merged[row, column] == pytest.approx(BASE.weight("block.proj")[row, column] + change, rel=1e-6)


def test_without_alpha_the_scale_is_one() -> None:
    plain = dataclasses.replace(ADAPTER, alpha=None)
    tensors = plain.tensors(BASE)
    assert f"{KEY}.alpha" not in tensors
    with_alpha = tensors | {f"{KEY}.alpha": np.array([4.0], np.float32)}
    place = ("model", "block.proj.weight")
    assert np.array_equal(merge(BASE, tensors)[place], merge(BASE, with_alpha)[place])


def test_a_target_that_the_adapter_lacks_is_left_out() -> None:
    tensors = {name: array for name, array in ADAPTER.tensors(BASE).items() if name.startswith(KEY)}
    assert set(merge(BASE, tensors)) == {("model", "block.proj.weight")}


def test_the_digest_tells_recipes_apart() -> None:
    assert ADAPTER.digest == dataclasses.replace(ADAPTER).digest
    assert ADAPTER.digest != dataclasses.replace(ADAPTER, rank=8).digest
