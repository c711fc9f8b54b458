from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import (
    ModelFiles,
)
from sdcpp.errors import HeaderUnsupported
from tests.unit.binding.small_pictures import Fakes


def test_a_revision_with_one_mode_refuses_the_other(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    for name in ("A", "A-positional"):
        bound = api.bind(library.load(fake_build(name)))
        bound.open(ModelFiles(model=model), mode="immediately", threads=1, lora_dir=tmp_path).close()
        with pytest.raises(HeaderUnsupported, match="no such LoRA apply mode: at_runtime"):
            bound.open(ModelFiles(model=model), mode="at_runtime", threads=1, lora_dir=tmp_path)
