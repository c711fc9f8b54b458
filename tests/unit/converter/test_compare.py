from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.compare import compare
from harness.converter.convert import convert
from tests.unit.converter.lora_files import KEY, dense, pair, save


def test_the_relative_error_equals_that_of_the_formed_changes(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(seed=1))
    b = save(tmp_path / "b.safetensors", pair(rank=16, seed=2))
    wanted = np.linalg.norm(dense(a)[KEY] - dense(b)[KEY]) / np.linalg.norm(dense(a)[KEY])
    assert compare(a, b).relative == pytest.approx(wanted, rel=1e-9)
    assert compare(a, a).relative == 0
    convert(a, tmp_path / "c.gguf", ["F16"])
    near = np.linalg.norm(dense(a)[KEY] - dense(tmp_path / "c.gguf")[KEY]) / np.linalg.norm(dense(a)[KEY])
    assert compare(a, tmp_path / "c.gguf").relative == pytest.approx(near, rel=1e-6)
