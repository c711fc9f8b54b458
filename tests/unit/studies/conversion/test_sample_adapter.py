from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.compare import compare
from harness.converter.inspect import inspect
from harness.formats.read import read_tensors
from harness.models.tiny_models import FLUX_SMALL
from harness.studies.conversion import sample_adapter


def test_the_change_has_the_given_norm_and_the_singular_values_decay() -> None:
    up, down = sample_adapter.factors(96, 64, 8, 4.0, 2.5, (1, 2))
    assert (up.shape, down.shape) == ((96, 8), (8, 64))
    change = up.astype(np.float64) @ down
    assert np.linalg.norm(change) == pytest.approx(2.5, rel=1e-6)
    values = np.linalg.svd(up, compute_uv=False)
    assert values[1:] / values[:-1] == pytest.approx(np.full(7, np.exp(-4.0 / 8)), rel=1e-4)
    again, other = (sample_adapter.factors(96, 64, 8, 4.0, 2.5, (1, seed))[0] for seed in (2, 3))
    assert np.array_equal(again, up)
    assert not np.array_equal(other, up)


def test_an_adapter_for_a_base_model_fits_it_and_has_the_given_strength(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for strength in (0.5, 1.0):
        arrays = sample_adapter.for_base(FLUX_SMALL, 8, 4.0, strength)
        sample_adapter.write(path, arrays, "F32")
        summary = inspect(path, "flux-small")
        assert not summary.complaints
        assert {group.rank for group in summary.groups} == {8}
        first = next(iter(compare(path, path).differences))
        role, name = next(iter(FLUX_SMALL.targets.values()))
        weight = FLUX_SMALL.files[role][name]
        assert first.norm == pytest.approx(strength * weight.std * np.sqrt(np.prod(weight.shape)), rel=1e-3)


def test_a_file_for_no_model_has_the_given_number_of_copies(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sample_adapter.write(path, sample_adapter.for_width(64, 4, 4.0), "F16", 3)
    tensors = read_tensors(path).tensors
    assert len(tensors) == 3 * 3
    assert {tensor.kind for tensor in tensors.values() if tensor.size > 1} == {"F16"}
    assert tensors["lora_unet_double_blocks_2_img_attn_proj.lora_up.weight"].shape == (64, 4)
