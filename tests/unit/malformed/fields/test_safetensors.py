from __future__ import annotations

import numpy as np
from safetensors.numpy import load

from harness.malformed.fields import safetensors
from harness.malformed.fields.pieces import ends
from harness.malformed.sound_file import sound_file
from tests.unit.fake_models import BASE

SEED = sound_file(BASE)

TENSORS = dict(SEED.tensors)


def test_safetensors_is_read_by_the_reference_reader() -> None:
    content = safetensors.build_file(SEED.safetensors())
    back = load(content)
    assert list(back) == sorted(TENSORS) or set(back) == set(TENSORS)
    assert all(np.array_equal(back[name], array) for name, array in TENSORS.items())
    assert ends(SEED.safetensors())[safetensors.LAST] % 8 == 0
