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


def problem(path: Path, arrays: Arrays, kinds: dict[str, str] | None = None) -> str:
    """Return the problem of the only module of a file with these tensors."""
    [module] = layout(read_tensors(save(path, arrays, kinds)).tensors.values()).modules.values()
    return input_checks.problem(module)


def test_a_correct_module_has_no_problem(tmp_path: Path) -> None:
    assert problem(tmp_path / "a.safetensors", pair()) == ""
    scaled = {name: array for name, array in pair().items() if name != ALPHA}
    assert problem(tmp_path / "b.safetensors", scaled | {f"{KEY}.scale": np.ones(1, np.float32)}) == ""


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({UP: np.ones((0, 32), np.float32)}, [UP, "[0, 32]", "empty"]),
        ({DOWN: np.ones(32, np.float32)}, [DOWN, "[32]", "not a matrix"]),
        ({UP: np.ones((64, 16), np.float32)}, [UP, DOWN, "[64, 16]", "[32, 96]", "cannot be multiplied"]),
        ({MID: np.ones((32, 16, 3, 3), np.float32)}, [MID, DOWN, "cannot be multiplied"]),
        ({ALPHA: np.ones(2, np.float32)}, [ALPHA, "2 values"]),
        ({ALPHA: np.array(np.nan, np.float32)}, [ALPHA, "nan"]),
        ({ALPHA: np.array(0, np.float32)}, [ALPHA, "is 0"]),
        ({f"{KEY}.scale": np.array(np.inf, np.float32)}, [f"{KEY}.scale", "inf"]),
    ],
)
def test_a_problem_names_the_tensor_and_the_reason(tmp_path: Path, changed: Arrays, named: list[str]) -> None:
    text = problem(tmp_path / "a.safetensors", pair() | changed)
    for part in named:
        assert part in text
    assert "\n" not in text


def test_integers_and_missing_factors_are_problems(tmp_path: Path) -> None:
    integers = pair() | {UP: np.ones((64, 32), np.float32)}
    assert "has integers (I32)" in problem(tmp_path / "a.safetensors", integers, {UP: "I32"})
    lacking = {name: array for name, array in pair().items() if name != DOWN}
    assert problem(tmp_path / "b.safetensors", lacking) == f"{KEY} lacks down"


def test_the_byte_is_the_offset_of_the_tensor_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    text = problem(path, pair() | {ALPHA: np.array(np.nan, np.float32)})
    offset = int(text.rpartition("at byte ")[2])
    assert np.isnan(np.frombuffer(path.read_bytes()[offset : offset + 4], np.float32))
