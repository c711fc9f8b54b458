from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.adapters.adapter import Adapter
from harness.cases.fixture import BlockQuantiser, Fixture
from harness.cases.matrix import FULL

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_file_of_an_adapter_has_the_base_model_and_the_quantiser_of_the_fixture() -> None:
    def quantise(values: NDArray[np.float32], _kind: str) -> NDArray[np.uint8]:
        return values.view(np.uint8)

    base = FULL.bases["C"][0]
    fixture = Fixture(base=base, block_quantiser=BlockQuantiser(quantise=quantise))
    file = fixture.file(Adapter(name="lora-r32", base=base.name), "gguf", "Q8_0")
    assert (file.base, file.container, file.kind) == (base, "gguf", "Q8_0")
    assert file.quantise is quantise
