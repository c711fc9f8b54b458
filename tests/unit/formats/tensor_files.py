"""Files of tensors, and what reading a damaged one may raise, for the tests of the containers."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.formats.tensor import File, MetadataValue
from harness.formats.write import Spec, container_of, write_container
from sdcpp.errors import Error

Arrays = dict[str, np.ndarray[Any, Any]]

ARRAYS: Arrays = {
    "a.lora_down.weight": np.arange(64, dtype=np.float32).reshape(2, 32),
    "a.lora_up.weight": np.arange(8, dtype=np.float16).reshape(4, 2),
    "a.alpha": np.array(2.0, np.float32),
    "five": np.arange(32, dtype=np.float32).reshape(2, 2, 2, 2, 2),
    "none": np.zeros((0, 4), np.float32),
    "no.row": np.zeros((4, 0), np.float32),
}

METADATA = {
    "ss_network_dim": MetadataValue(type="STRING", value="2"),
    "modelspec.license": MetadataValue(type="STRING", value="CC-BY « »"),
    "number": MetadataValue(type="UINT32", value=7),
    "numbers": MetadataValue(type="ARRAY:FLOAT64", value=[1.5, -2.0]),
    "words": MetadataValue(type="ARRAY:STRING", value=["a", ""]),
}

#: How many files of each kind are fuzzed; SDCPP_FUZZ=100000 runs for hours.
EXAMPLES = int(os.environ.get("SDCPP_FUZZ", "60"))

KINDS = {"float32": "F32", "float16": "F16"}


def write_arrays(path: Path, arrays: Arrays, metadata: dict[str, MetadataValue] | None = None) -> Path:
    """Write arrays as tensors of their own types; the suffix names the container. Return ``path``."""
    specs = [Spec(name=n, shape=a.shape, kind=KINDS[a.dtype.name]) for n, a in arrays.items()]
    write_container(
        path,
        container_of(path),
        specs,
        metadata or {},
        lambda spec, _at: [arrays[spec.name].reshape(-1).view(np.uint8)],
    )
    return path


def archive(path: Path, pickled: bytes, members: dict[str, bytes] | None = None) -> Path:
    """Write a .ckpt of a pickle and of ``members``, such as data/0, and return ``path``."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in (members or {}).items():
            file.writestr(f"archive/{name}", data)
    return path


def decode_all(file: File) -> None:
    """Decode the values of all tensors that are not huge."""
    for tensor in file.tensors.values():
        if tensor.nbytes < 1 << 20:
            tensor.values()
            list(tensor.pieces())


def check_one_line(error: Error) -> None:
    """Fail unless the message of an error is one line."""
    if "\n" in str(error):
        pytest.fail(f"more than a line: {error}")
