"""Small LoRA files and their ΔW, for the tests of the converter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.converter import weight_change
from harness.converter.modules import layout
from harness.formats.read import read_tensors
from harness.formats.tensor import MetadataValue, kind_of
from harness.formats.write import Spec, container_of, write_container
from harness.studies.conversion import sample_adapter

Arrays = dict[str, np.ndarray[Any, Any]]

#: The module that ``pair`` changes by default.
KEY = "lora_unet_block_proj"

#: The metadata of every file that ``save`` writes.
METADATA = {
    "ss_tag": MetadataValue(type="STRING", value="a lighthouse"),
    "modelspec.license": MetadataValue(type="STRING", value="MIT"),
}


def save(
    path: Path, arrays: Arrays, kinds: dict[str, str] | None = None, metadata: dict[str, str] | None = None
) -> Path:
    """Write arrays as tensors of the same types, or of ``kinds`` by name. The suffix decides the container.

    ``metadata`` are written in place of METADATA.
    """
    kinds = kinds or {}
    specs = [Spec(name=n, shape=a.shape, kind=kinds.get(n) or kind_of(a)) for n, a in arrays.items()]
    write_container(
        path,
        container_of(path),
        specs,
        METADATA
        if metadata is None
        else {key: MetadataValue(type="STRING", value=value) for key, value in metadata.items()},
        lambda s, _at: [arrays[s.name].reshape(-1).view(np.uint8)],
    )
    return path


def pair(rank: int = 32, out: int = 64, inner: int = 96, seed: int = 1, key: str = KEY) -> Arrays:
    """Return a LoRA of one module [out, inner] with ‖ΔW‖ = 1/2 and alpha = rank / 2, with kohya's names."""
    up, down = sample_adapter.factors(out, inner, rank, 3.0, 1.0, (seed,))
    return {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": np.array(rank / 2, np.float32),
    }


def dense(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the ΔW [out, inner] of each module of an adapter file, by key: float64."""
    values = {}
    for key, module in layout(read_tensors(path).tensors.values()).modules.items():
        change = weight_change.weight_change(module)
        values[key] = weight_change.rows(change, 0, change.shape[0])
    return values
