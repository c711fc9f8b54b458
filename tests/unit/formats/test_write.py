from __future__ import annotations

from pathlib import Path

import gguf as gguf_package
import numpy as np
import pytest
from safetensors.numpy import load_file

from harness.formats.write import Spec, container_of, write_container
from sdcpp.errors import FileInvalid, TypeUnavailable
from tests.unit.formats.tensor_files import ARRAYS, METADATA, write_arrays


def test_public_packages_read_what_is_written(tmp_path: Path) -> None:
    back = load_file(write_arrays(tmp_path / "x.safetensors", ARRAYS, METADATA))
    assert all(np.array_equal(back[n], a) for n, a in ARRAYS.items())
    found = gguf_package.GGUFReader(
        write_arrays(tmp_path / "x.gguf", {k: ARRAYS[k] for k in list(ARRAYS)[:3]}, METADATA)
    )
    assert [t.name for t in found.tensors] == list(ARRAYS)[:3]
    assert np.array_equal(found.tensors[0].data, ARRAYS["a.lora_down.weight"])
    assert found.fields["number"].contents() == 7
    assert found.fields["numbers"].contents() == [1.5, -2.0]
    assert found.fields["words"].contents() == ["a", ""]


def test_a_type_that_a_container_cannot_hold(tmp_path: Path) -> None:
    spec = [Spec(name="w", shape=(1, 32), kind="Q8_0")]
    for suffix in ("safetensors", "ckpt"):
        with pytest.raises(TypeUnavailable, match="Q8_0"):
            write_container(tmp_path / "x", suffix, spec, {}, lambda *_: [np.zeros(34, np.uint8)])
    with pytest.raises(FileInvalid, match="names no container"):
        container_of(tmp_path / "x.bin")


def test_a_name_that_ggml_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="130 bytes"):
        write_arrays(tmp_path / "x.gguf", {"n" * 130: np.ones(1, np.float32)})
