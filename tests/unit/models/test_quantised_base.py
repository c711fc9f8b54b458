from __future__ import annotations

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.adapters import merged_base
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.models.quantised_base import stored
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")
TARGET = BASE.targets["block.out"]
FILE = AdapterFile(base=BASE, adapter=ADAPTER, container="safetensors", kind="F32")


def rounded(values: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32]:
    return np.asarray(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))


def test_only_the_targets_are_stored_as_the_type() -> None:
    base = stored(BASE, "Q8_0", None)
    files = base.make()
    assert set(files) == {"model", "diffusion_model"}
    assert files["model"] == BASE.make()["model"]
    tensors = gguf.GGUFReader(files["diffusion_model"]).tensors
    assert {t.name: t.tensor_type.name for t in tensors} == {n: "Q8_0" for _, n in BASE.targets.values()}
    wanted = rounded(BASE.values(TARGET), gguf.GGMLQuantizationType.Q8_0)
    assert np.array_equal(base.values(TARGET), wanted)
    assert not np.array_equal(wanted, BASE.values(TARGET))
    assert np.array_equal(base.values(("model", "block.bias")), BASE.values(("model", "block.bias")))


def test_a_matrix_is_stored_as_f16_if_its_rows_are_not_a_multiple_of_the_block_size() -> None:
    def quantise(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
        raise AssertionError(f"{kind} of rows of {values.shape[1]}")

    [kind] = {
        t.tensor_type.name
        for t in gguf.GGUFReader(stored(BASE, "Q4_K", quantise).make()["diffusion_model"]).tensors
    }
    assert kind == "F16"


def test_an_adapter_is_merged_into_the_stored_values() -> None:
    base, uses = stored(BASE, "Q4_0", None), [Use(file=FILE)]
    change = FILE.changes(1.0)[TARGET]
    total = base.values(TARGET) + change
    [exact] = merged_base.make(base, uses).values()
    [rounded_file] = merged_base.make(base, uses, rounded=True).values()
    assert exact.suffix == ".safetensors"
    assert rounded_file.suffix == ".gguf"
    stored_sum = next(t for t in gguf.GGUFReader(rounded_file).tensors if t.name == TARGET[1])
    got = gguf.quants.dequantize(stored_sum.data, stored_sum.tensor_type)
    assert np.array_equal(got, rounded(total.astype(np.float32), gguf.GGMLQuantizationType.Q4_0))
    assert np.abs(got - total).max() > 1e-3
