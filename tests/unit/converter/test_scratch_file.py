from __future__ import annotations

from io import BufferedRandom
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from harness.converter.scratch_file import ScratchFile, scratch_file
from sdcpp.errors import OutputRefused


def test_bytes_come_back_in_any_order(tmp_path: Path) -> None:
    data = [np.arange(n, dtype=np.uint8) for n in (5, 0, 200)]
    with scratch_file(tmp_path / "out") as scratch:
        readers = [scratch.keep(each) for each in data]
        for index in (2, 0, 1, 2):
            assert np.array_equal(readers[index](), data[index])
        assert np.array_equal(scratch.keep(data[0])(), data[0])
    assert not list(tmp_path.iterdir())


def test_a_missing_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputRefused, match="check that its folder exists"),
        scratch_file(tmp_path / "no" / "out"),
    ):
        pass


def test_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("r+b", buffering=0) as file:
        scratch = ScratchFile(cast(BufferedRandom, file), tmp_path / "out")
        with pytest.raises(OutputRefused, match=r"No space left on device.*free some space"):
            scratch.keep(np.zeros(8, np.uint8))
