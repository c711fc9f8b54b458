from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from harness.converter.modules import Module, layout_of
from harness.converter.storage import Storage, storage
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import KEY, Arrays, pair, save


def of_file(folder: Path, arrays: Arrays) -> list[Module]:
    """Return the modules of a file with these tensors."""
    return list(layout_of(read_tensors(save(folder / "a.safetensors", arrays))).modules.values())


@pytest.mark.parametrize(
    ("kind", "alpha", "folded", "stored"),
    [
        (np.float16, 12, False, Storage(kind="F16", scale=0.375)),
        # The scale would make small values of F16 smaller than it can express.
        (np.float16, 16, True, Storage()),
        (np.float16, 32, True, Storage(kind="F16")),
        (ml_dtypes.bfloat16, 16, True, Storage(kind="BF16")),
        (ml_dtypes.bfloat16, 12, True, Storage()),
        (np.float32, 16, False, Storage()),
        (np.float64, 32, False, Storage()),
    ],
)
def test_how_factors_are_stored_together(
    tmp_path: Path, kind: type, alpha: int, folded: bool, stored: Storage
) -> None:
    arrays: Arrays = {name: value.astype(kind) for name, value in pair().items()}
    arrays[f"{KEY}.alpha"] = np.array(alpha, kind)
    modules = of_file(tmp_path, arrays)
    assert storage(modules, folded=folded) == stored


def test_multipliers_count_as_part_of_the_scale(tmp_path: Path) -> None:
    arrays = {name: value.astype(np.float16) for name, value in pair().items()}
    [module] = of_file(tmp_path, arrays)
    assert storage([module, module], multipliers=[3, 3]) == Storage(kind="F16", scale=1.5)
    assert storage([module, module], multipliers=[3, 2]) == Storage()
    assert storage([module], multipliers=[2], folded=True) == Storage(kind="F16")
