from __future__ import annotations

import numpy as np

from harness.malformed.sound_file import RANK, sound_file
from tests.unit.fake_models import BASE

SEED = sound_file(BASE)

TENSORS = dict(SEED.tensors)


def test_the_seed_has_two_pairs_of_one_rank() -> None:
    assert [name.split(".", 1) for name in TENSORS] == [
        [key, part]
        for key in (SEED.first, SEED.second)
        for part in ("alpha", "lora_down.weight", "lora_up.weight")
    ]
    assert {array.dtype for array in TENSORS.values()} == {np.dtype(np.float16)}
    assert TENSORS[f"{SEED.first}.alpha"].tolist() == [RANK]
