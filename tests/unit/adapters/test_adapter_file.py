from __future__ import annotations

import dataclasses
import json
import struct

import gguf
import numpy as np
import pytest

from harness.adapters.adapter_file import AdapterFile
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")
KEY = "lora_unet_block_proj"
#: The value of 0.1 in BF16, which is the upper half of its float32 bits, rounded.
TENTH = 0.10009765625


def typed(container: str, kind: str, alpha_type: str, alpha: float = 0.1) -> AdapterFile:
    adapter = dataclasses.replace(ADAPTER, alpha=alpha, alpha_type=alpha_type)
    return AdapterFile(base=BASE, adapter=adapter, container=container, kind=kind)


@pytest.mark.parametrize("container", ["safetensors", "gguf", "ckpt"])
def test_alpha_may_be_bfloat16_in_any_container(container: str) -> None:
    values = typed(container, "F32", "BF16").values()
    assert values[f"{KEY}.alpha"].tolist() == [TENTH]
    assert values[f"{KEY}.lora_up.weight"].dtype == np.float32
    assert values[f"{KEY}.lora_up.weight"].shape == (64, 4)


def test_every_tensor_has_its_type_in_the_file() -> None:
    content = typed("safetensors", "F16", "BF16").make().read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert header[f"{KEY}.alpha"]["dtype"] == "BF16"
    assert header[f"{KEY}.lora_up.weight"]["dtype"] == "F16"
    types = {
        tensor.name: tensor.tensor_type.name
        for tensor in gguf.GGUFReader(typed("gguf", "F32", "F16").make()).tensors
    }
    assert types[f"{KEY}.alpha"] == "F16"
    assert types[f"{KEY}.lora_up.weight"] == "F32"


@pytest.mark.parametrize(
    ("value", "wanted"), [(1.0, 1.0), (1.00390625, 1.0), (1.01171875, 1.015625), (-0.1, -TENTH)]
)
def test_bfloat16_rounds_to_nearest_and_ties_to_even(value: float, wanted: float) -> None:
    assert typed("safetensors", "F32", "BF16", value).values()[f"{KEY}.alpha"].tolist() == [wanted]
