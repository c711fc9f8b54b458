from __future__ import annotations

import math

import pytest

from harness.models.base_model import Base
from harness.models.families.catalogue import FAMILIES

pytestmark = pytest.mark.parametrize("base", FAMILIES.values(), ids=lambda base: base.name)


def test_adapters_change_matrices_in_full_precision(base: Base) -> None:
    """Merging an adapter into a matrix of F32 loses no precision, so the reference is exact."""
    assert len(base.targets) >= 7
    for role, tensor in base.targets.values():
        weight = base.files[role][tensor]
        assert len(weight.shape) == 2
        assert weight.dtype == "F32"


def test_a_model_is_small(base: Base) -> None:
    parameters = sum(math.prod(w.shape) for weights in base.files.values() for w in weights.values())
    assert parameters < 90e6


def test_every_layer_of_the_adapted_blocks_is_a_target(base: Base) -> None:
    changed = {tensor for _, tensor in base.targets.values()}
    rest = [
        name
        for name, weight in base.files["model"].items()
        if weight.dtype == "F32" and len(weight.shape) == 2 and name not in changed
    ]
    # SD3 has 24 blocks. Adapters change the first and the last of them.
    assert all(".joint_blocks." in name for name in rest)
