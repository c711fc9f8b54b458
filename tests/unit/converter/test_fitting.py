from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.converter.base_weights import BaseWeights
from harness.converter.fitting import Fitted, fit
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import Arrays, pair, save

SHAPES = {
    "model.diffusion_model.block.proj.weight": (64, 96),
    "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (64, 96),
}


def fitted(folder: Path, arrays: Arrays) -> Fitted:
    adapter = layout_of(read_tensors(save(folder / "a.safetensors", arrays)))
    return fit(adapter, BaseWeights(SHAPES), SHAPES)


def test_changes_have_the_rows_that_they_change(tmp_path: Path) -> None:
    found = fitted(tmp_path, pair())
    [change] = found.changes
    assert (change.parameter, change.replaces) == ("weight", None)
    [rows] = change.slices
    assert (rows.name, rows.start, rows.stop, rows.first) == (next(iter(SHAPES)), 0, 64, 0)
    assert not found.problems
    assert not found.elsewhere


def test_each_misfit_is_a_line(tmp_path: Path) -> None:
    arrays = pair(out=32) | pair(key="lora_unet_other")
    arrays["lora_te_text_model_encoder_layers_0_mlp_fc1.diff_b"] = np.ones(64, np.float32)
    found = fitted(tmp_path, arrays)
    assert sorted(found.problems) == [
        "lora_te_text_model_encoder_layers_0_mlp_fc1: the base model has no bias in a layer whose bias the adapter "
        "changes",
        "lora_unet_block_proj changes [32, 96], the base model has [64, 96] at model.diffusion_model.block.proj.weight",
        "the base model has no weight for lora_unet_other",
    ]


def test_modules_for_another_file_are_no_misfits_unless_nothing_is_left(tmp_path: Path) -> None:
    key = "lora_te2_text_model_encoder_layers_0_mlp_fc1"
    found = fitted(tmp_path, pair() | pair(key=key))
    assert (list(found.problems), list(found.elsewhere)) == ([], [key])
    alone = fitted(tmp_path, pair(key=key))
    assert list(alone.problems) == ["none of the 1 modules is for a part of the model that this file has"]


def test_a_dora_must_have_as_many_magnitudes_as_the_weight_has_rows_or_columns(tmp_path: Path) -> None:
    for size, problems in ((64, 0), (96, 1), (63, 1)):
        arrays = pair() | {"lora_unet_block_proj.dora_scale": np.ones((size, 1), np.float32)}
        assert len(fitted(tmp_path, arrays).problems) == problems
