from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness.converter.model_difference import Model, ModelDifference
from harness.layers.layer import Name
from sdcpp.errors import FileInvalid
from tests.unit.converter.lora_files import save
from tests.unit.converter.model_pairs import PROJ, QKV, difference, flux, tuned, written
from tests.unit.converter.rewritten_tensors import draw

FUSED = "double_blocks_0_img_attn_qkv"


def models(folder: Path) -> tuple[ModelDifference, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    before = flux()
    after = tuned(before, f"{QKV}.weight", f"{QKV}.bias")
    return ModelDifference(*written(folder, before, after)), difference(before, after, f"{QKV}.weight")


def test_rows_of_a_fused_weight(tmp_path: Path) -> None:
    found, wanted = models(tmp_path)
    [group] = [group for group in found.layers() if group.layer == FUSED]
    whole = found.weight(group, Name(text=""))
    assert np.array_equal(whole.change.value, wanted)
    part = found.weight(group, Name(text="", units=(1, 1, 1), take=(1,)))
    assert np.array_equal(part.change.value, wanted[32:64])
    bias = found.bias(group, Name(text="", units=(1, 1, 1), take=(2,)))
    assert bias is not None
    assert bias.change.shape == (32,)
    before = flux()
    assert before.keys() >= {f"{QKV}.weight"}
    assert 0 < whole.relative < math.inf


def test_the_layers_have_their_names_with_dots(tmp_path: Path) -> None:
    found, _ = models(tmp_path)
    keys = {group.layer: group.modules[0].key for group in found.layers()}
    assert keys[FUSED] == f"diffusion_model.{QKV}"
    assert not found.sdxl
    assert list(found.others()) == []


def test_a_piece_of_a_layer_alone(tmp_path: Path) -> None:
    before = {
        "transformer_blocks.0.attn.to_q.weight": draw(8, 8),
        "single_transformer_blocks.0.proj_out.weight": draw(8, 8),
    }
    found = ModelDifference(*written(tmp_path, before, tuned(before, *before)))
    [group] = [group for group in found.layers() if group.layer == FUSED]
    has = [found.has(group, Name(text="", units=(1, 1, 1), take=(unit,))) for unit in range(3)]
    assert has == [True, False, False]
    assert not found.has(group, Name(text=""))


def test_which_tensors_changed(tmp_path: Path) -> None:
    found, _ = models(tmp_path)
    assert found.is_changed(f"{QKV}.weight")
    assert not found.is_changed(f"{PROJ}.weight")


def test_equal_values_of_other_types_have_not_changed(tmp_path: Path) -> None:
    half = {name: value.astype(np.float16) for name, value in flux().items()}
    wide = {name: value.astype(np.float32) for name, value in half.items()}
    found = ModelDifference(*written(tmp_path, half, wide))
    assert not any(map(found.is_changed, half))


def test_a_zero_weight_that_changes(tmp_path: Path) -> None:
    before = flux() | {f"{PROJ}.weight": np.zeros((32, 32), np.float32)}
    found = ModelDifference(*written(tmp_path, before, tuned(before, f"{PROJ}.weight")))
    relative = {group.layer: found.weight(group, Name(text="")).relative for group in found.layers()}
    assert relative[PROJ.replace(".", "_")] == math.inf
    assert relative[FUSED] == 0


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "page.safetensors"
    path.write_text("<!doctype html><title>Not found</title>")
    with pytest.raises(FileInvalid, match="web page"):
        Model(path)
    assert Model(save(tmp_path / "x.safetensors", {"a.weight": draw(2, 2)})).family == ""
