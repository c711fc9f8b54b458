"""Merging an adapter into the weights of a base model, for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.adapters.adapter import Adapter, changes
from harness.models.base_model import Base, TensorId

#: A LoRA of the linear layers under kohya's names.
LORA = Adapter(name="", base="")


def merge(
    base: Base,
    tensors: Mapping[str, NDArray[np.floating]],
    multiplier: float = 1.0,
    *,
    adapter: Adapter = LORA,
) -> dict[TensorId, NDArray[np.float32]]:
    """Return the changed weights after an adapter is merged, by tensor: W plus the result of ``changes``.

    The sum is computed in float64 and rounded once, to float32.
    """
    return {
        tensor: (base.values(tensor).astype(np.float64) + change).astype(np.float32)
        for tensor, change in changes(base, tensors, multiplier, adapter).items()
    }
