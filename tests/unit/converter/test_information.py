from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.converter.hashes import hashes
from harness.converter.information import information, text, with_metadata
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import FileInvalid, OutputRefused
from tests.unit.converter.lora_files import KEY, pair, save


def test_everything_that_a_file_says(tmp_path: Path) -> None:
    arrays = pair(rank=8) | pair(rank=4, key="lora_te_x") | pair(rank=4, key="lora_te_y")
    path = save(tmp_path / "a.safetensors", arrays, metadata={"ss_tag": "x" * 300})
    found = information(path)
    data = found.as_json()
    assert data["ranks"] == {"4": 2, "8": 1}
    tensors = data["tensors"]
    assert isinstance(tensors, list)
    assert tensors[0] == {"name": f"{KEY}.lora_down.weight", "type": "F32", "shape": [8, 96]}
    assert data["metadata"] == {"ss_tag": "x" * 300}
    assert "rank 4 (2 modules), rank 8 (1 module)" in text(found, quiet=True)
    assert "x" * 300 not in text(found)
    assert "x" * 300 in text(found, verbose=True)
    assert f"{KEY}.lora_down.weight  F32     8 x 96" in text(found, verbose=True)
    assert information(path, hashed=False).as_json()["hashes"] is None


def test_a_stored_hash_of_other_tensors_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair(), metadata={"sshs_model_hash": "0" * 64})
    [note] = information(path).notes
    assert "sshs_model_hash is not the hash of these tensors" in note
    right = information(path).hashes
    assert right is not None
    with_metadata(path, tmp_path / "b.safetensors", {"sshs_model_hash": right.model_hash or ""})
    assert not information(tmp_path / "b.safetensors").notes


def test_metadata_change_and_tensors_do_not(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair(), metadata={"a": "1", "b": "2", "c": "3"})
    with_metadata(path, tmp_path / "b.safetensors", {"b": "two", "d": "4"}, ["a"])
    after = read_tensors(tmp_path / "b.safetensors")
    assert {key: value.value for key, value in after.metadata.items()} == {"b": "two", "c": "3", "d": "4"}
    assert hashes(after).model_hash == hashes(read_tensors(path)).model_hash


def test_values_of_gguf_keep_their_types(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    path, target = tmp_path / "a.gguf", tmp_path / "b.gguf"
    convert(source, path, ["Q8_0"], PackageQuantiser())
    with_metadata(path, target, {"general.quantization_version": "3", "general.license": "CC0"})
    before, after = read_tensors(path), read_tensors(target)
    assert after.metadata["general.quantization_version"].value == 3
    assert after.metadata["general.license"].value == "CC0"
    assert {name: t.kind for name, t in after.tensors.items()} == {
        n: t.kind for n, t in before.tensors.items()
    }
    for name, tensor in before.tensors.items():
        assert np.array_equal(tensor.raw(), after.tensors[name].raw())
    with pytest.raises(FileInvalid, match="UINT32, not 'three'"):
        with_metadata(path, target, {"general.quantization_version": "three"})


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    with pytest.raises(FileInvalid, match="no metadata entry 'nothing'"):
        with_metadata(path, tmp_path / "b.safetensors", {}, ["nothing"])
    with pytest.raises(OutputRefused, match="same suffix"):
        with_metadata(path, tmp_path / "b.gguf", {"a": "1"})
    with pytest.raises(OutputRefused, match="the output is the input"):
        with_metadata(path, path, {"a": "1"})
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]
