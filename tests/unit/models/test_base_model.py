from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from harness.models import architectures
from harness.models.base_model import BLOCK, Base, Weight
from harness.models.tiny_models import BASES
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


def test_files_hold_what_the_recipe_says() -> None:
    tensors = load_file(BASE.make()["model"])
    assert tensors["block.proj.weight"].shape == (64, 32)
    assert tensors["block.proj.weight"].dtype == np.float32
    assert tensors["block.bias"].dtype == np.float16
    assert tensors["block.bias"].tolist() == [1.0, 2.0, 3.0]
    assert np.std(tensors["block.proj.weight"]) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(tensors["block.proj.weight"], BASE.weight("block.proj"))


def test_a_tensor_longer_than_the_block_of_random_numbers_is_filled() -> None:
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


def test_every_target_is_in_its_file_and_in_the_type_that_the_library_has_it_in() -> None:
    for base in BASES.values():
        assert base.targets
        for group, targets in {"linear": base.targets, **base.groups}.items():
            assert base.group(group) == targets
            for role, name in targets.values():
                weight = base.files[role][name]
                # Kernels are F16 in the library, whatever a file says.
                assert weight.dtype == ("F16" if len(weight.shape) == 4 else "F32")
                assert weight.shape[2:] == {"conv1x1": (1, 1), "conv3x3": (3, 3), "strided": (3, 3)}.get(
                    group, ()
                )
    assert set(BASES["sd1-tiny"].groups) == {"conv1x1", "conv3x3", "strided", "text"}
    assert BASES["flux-small"].group("conv3x3") == {}


def test_a_weight_is_found_in_any_group() -> None:
    assert BASES["sd1-tiny"].weight("down_blocks.0.resnets.0.conv1").shape == (320, 320, 3, 3)
    assert BASES["flux-small"].weight("text_model.encoder.layers.5.mlp.fc2").shape == (768, 3072)


def test_the_widths_of_flux_follow_from_its_arguments() -> None:
    weights = architectures.flux(hidden=128, double=2, single=0)
    assert weights["txt_in.weight"].shape == (128, 4096)
    assert weights["double_blocks.1.img_attn.qkv.weight"].shape == (384, 128)
    assert not [name for name in weights if name.startswith("single_blocks")]


def test_the_encoder_mirrors_the_decoder() -> None:
    encoder, decoder = (
        architectures.taesd_encoder(4),
        architectures.taesd(4, contrast=1.0, brightness=(0, 0, 0)),
    )
    shapes = [
        sorted(weight.shape for weight in part.values() if len(weight.shape) == 4)
        for part in (encoder, decoder)
    ]
    assert [len(found) for found in shapes] == [35, 35]
    assert encoder["encoder.layers.0.weight"].shape == (64, 3, 3, 3)
    assert encoder["encoder.layers.14.weight"].shape == (4, 64, 3, 3)
