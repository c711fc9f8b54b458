from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.formats import torch_pickle
from harness.formats.write import write_arrays


class _OnlyTensors(pickle.Unpickler):
    """Follows a ckpt's pickle with stand-ins for the three names that torch.save writes, and no others."""

    def __init__(self, file: Any, archive: zipfile.ZipFile) -> None:
        super().__init__(file)
        self.archive = archive

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, place, count = pid
        assert (kind, place) == ("storage", "cpu")
        data = np.frombuffer(self.archive.read(f"archive/data/{key}"), dtype)
        assert data.size == count
        return data

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): self.rebuild,
            ("torch", "FloatStorage"): np.float32,
            ("torch", "HalfStorage"): np.float16,
            ("collections", "OrderedDict"): dict,
        }
        return known[module, name]

    @staticmethod
    def rebuild(data: Any, offset: int, shape: Any, stride: Any, grad: bool, hooks: Any) -> Any:  # noqa: PLR0917
        assert (offset, grad, hooks) == (0, False, {})
        array = data.reshape(shape)
        assert tuple(s // array.itemsize for s in array.strides) == tuple(stride)
        return array


def test_ckpt_is_a_state_dict_of_tensors_and_nothing_else(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    # More than 256 memo entries, so that both widths of memo opcode occur.
    tensors = {f"t{i}": draw.random((i % 3 + 1, 300)).astype(np.float16) for i in range(60)}
    tensors |= {
        "conv": draw.random((2, 3, 3, 3)).astype(np.float16),
        "row": draw.random(5).astype(np.float16),
    }
    write_arrays(tmp_path / "x.ckpt", "ckpt", tensors)
    with zipfile.ZipFile(tmp_path / "x.ckpt") as archive:
        words = archive.read("archive/data.pkl")
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open("archive/data.pkl") as file:
            back = _OnlyTensors(file, archive).load()
    assert list(back) == list(tensors)
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())
    named = {arg for op, arg, _ in pickletools.genops(words) if op.name == "GLOBAL"}
    assert named == {"torch._utils _rebuild_tensor_v2", "torch HalfStorage", "collections OrderedDict"}


@pytest.mark.parametrize(
    "value", [0, 255, 256, 65535, 65536, -1, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, -(1 << 63)]
)
def test_integers_are_what_pickletools_reads(value: int) -> None:
    [(op, argument, _), _] = list(pickletools.genops(torch_pickle.integer(value) + b"."))
    assert argument == value
    assert op.name in {"BININT1", "BININT2", "BININT", "LONG1"}
