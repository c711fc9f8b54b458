from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from harness.models.base_model import BLOCK, Base, Weight
from tests.unit.fake_models import BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_same_recipe_gives_the_same_bytes(cache_folder: Path) -> None:
    first = BASE.make()["model"].read_bytes()
    BASE.path("model").unlink()
    BASE.folder.rmdir()
    assert BASE.make()["model"].read_bytes() == first
    assert BASE.folder.is_relative_to(cache_folder)


def test_another_seed_gives_other_values_and_another_folder() -> None:
    other = dataclasses.replace(BASE, seed=2)
    assert other.folder != BASE.folder
    assert not np.array_equal(other.weight("block.proj"), BASE.weight("block.proj"))


def test_a_file_has_the_shapes_types_and_values_of_the_recipe() -> None:
    tensors = load_file(BASE.make()["model"])
    assert tensors["block.proj.weight"].shape == (64, 32)
    assert tensors["block.proj.weight"].dtype == np.float32
    assert tensors["block.bias"].dtype == np.float16
    assert tensors["block.bias"].tolist() == [1.0, 2.0, 3.0]
    assert np.std(tensors["block.proj.weight"]) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(tensors["block.proj.weight"], BASE.weight("block.proj"))


def test_a_tensor_with_more_values_than_the_block_of_random_numbers_repeats_the_block() -> None:
    long = Base(
        name="long",
        architecture="none",
        files={"model": {"w": Weight(shape=(BLOCK + 5,), std=1.0, dtype="F32")}},
        targets={"w": ("model", "w")},
    )
    values = long.weight("w")
    assert values.shape == (BLOCK + 5,)
    assert np.array_equal(values[:5], values[BLOCK:])
    assert np.count_nonzero(values) > BLOCK * 0.99
