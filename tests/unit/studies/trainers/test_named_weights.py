from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.models.tiny_models import FLUX_THIN
from harness.studies.trainers import named_weights, writers
from sdcpp.errors import FileInvalid

QKV = ("model", "model.diffusion_model.double_blocks.0.img_attn.qkv.weight")
LINEAR1 = ("model", "model.diffusion_model.single_blocks.0.linear1.weight")


def test_fused_matrices_are_cut_as_diffusers_cuts_them(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    named_weights.write(FLUX_THIN, path)
    tensors = read_tensors(path).tensors
    # 256 channels: q, k and v have 256 rows each, the MLP of a single block has 1024.
    qkv, linear1 = FLUX_THIN.values(QKV), FLUX_THIN.values(LINEAR1)
    for number, letter in enumerate("qkv"):
        rows = slice(256 * number, 256 * (number + 1))
        double = tensors[f"transformer_blocks.0.attn.to_{letter}.weight"].values()
        single = tensors[f"single_transformer_blocks.0.attn.to_{letter}.weight"].values()
        assert np.array_equal(double, qkv[rows])
        assert np.array_equal(single, linear1[rows])
    assert np.array_equal(tensors["single_transformer_blocks.0.proj_mlp.weight"].values(), linear1[768:])
    assert len(tensors) == 3 + 3 + 4 + 1


def test_the_parts_are_joined_in_their_places(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    named_weights.write(FLUX_THIN, path)
    weights = {
        name: tensor.values().astype(np.float64) for name, tensor in read_tensors(path).tensors.items()
    }
    weights["transformer_blocks.0.attn.to_k.weight"] += 1
    joined = named_weights.join(FLUX_THIN, weights)
    wanted = FLUX_THIN.values(QKV).astype(np.float64)
    wanted[256:512] += 1
    assert np.array_equal(joined[QKV], wanted)
    assert np.array_equal(joined[LINEAR1], FLUX_THIN.values(LINEAR1))
    assert joined.keys() == set(FLUX_THIN.targets.values())


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    path = tmp_path / "merged.safetensors"
    write_arrays(path, "safetensors", {"other": np.zeros(1, np.float32)})
    with pytest.raises(FileInvalid, match=r"lack transformer_blocks\.0\.attn\.to_q\.weight"):
        named_weights.read_merged(FLUX_THIN, path)


def test_a_unets_targets_have_diffusers_names_themselves(tmp_path: Path) -> None:
    _, unet = writers.BASES
    path = tmp_path / "base.safetensors"
    named_weights.write(unet, path)
    tensors = read_tensors(path).tensors
    assert set(tensors) == {f"{target}.weight" for target in unet.targets}
    assert tensors["down_blocks.0.downsamplers.0.conv.weight"].shape == (320, 320, 3, 3)
