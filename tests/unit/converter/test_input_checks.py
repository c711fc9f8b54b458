from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import input_checks
from harness.converter.modules import layout
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import KEY, Arrays, pair, save

UP, DOWN, ALPHA = f"{KEY}.lora_up.weight", f"{KEY}.lora_down.weight", f"{KEY}.alpha"
MID = f"{KEY}.lora_mid.weight"


def complaint(path: Path, arrays: Arrays, kinds: dict[str, str] | None = None) -> str:
    """Return what is wrong with the one module of a file with these tensors."""
    [module] = layout(read_tensors(save(path, arrays, kinds)).tensors.values()).modules.values()
    return input_checks.complaint(module)


def test_a_sound_module_has_no_complaint(tmp_path: Path) -> None:
    assert complaint(tmp_path / "a.safetensors", pair()) == ""
    scaled = {name: array for name, array in pair().items() if name != ALPHA}
    assert complaint(tmp_path / "b.safetensors", scaled | {f"{KEY}.scale": np.ones(1, np.float32)}) == ""


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({UP: np.ones((0, 32), np.float32)}, [UP, "[0, 32]", "empty"]),
        ({DOWN: np.ones(32, np.float32)}, [DOWN, "[32]", "no matrix"]),
        ({UP: np.ones((64, 16), np.float32)}, [UP, DOWN, "[64, 16]", "[32, 96]", "cannot be multiplied"]),
        ({MID: np.ones((32, 16, 3, 3), np.float32)}, [MID, DOWN, "cannot be multiplied"]),
        ({ALPHA: np.ones(2, np.float32)}, [ALPHA, "2 values"]),
        ({ALPHA: np.array(np.nan, np.float32)}, [ALPHA, "nan"]),
        ({ALPHA: np.array(0, np.float32)}, [ALPHA, "is 0"]),
        ({f"{KEY}.scale": np.array(np.inf, np.float32)}, [f"{KEY}.scale", "inf"]),
    ],
)
def test_a_complaint_names_the_tensor_and_what_is_wrong(
    tmp_path: Path, changed: Arrays, named: list[str]
) -> None:
    found = complaint(tmp_path / "a.safetensors", pair() | changed)
    for words in named:
        assert words in found
    assert "\n" not in found


def test_whole_numbers_and_missing_factors_are_complaints(tmp_path: Path) -> None:
    whole = pair() | {UP: np.ones((64, 32), np.float32)}
    assert "whole numbers (I32)" in complaint(tmp_path / "a.safetensors", whole, {UP: "I32"})
    lacking = {name: array for name, array in pair().items() if name != DOWN}
    assert complaint(tmp_path / "b.safetensors", lacking) == f"{KEY} lacks down"


def test_the_byte_is_the_tensors_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    found = complaint(path, pair() | {ALPHA: np.array(np.nan, np.float32)})
    place = int(found.rpartition("at byte ")[2])
    assert np.isnan(np.frombuffer(path.read_bytes()[place : place + 4], np.float32))
