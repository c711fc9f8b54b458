"""BASE, a base model of a few kilobytes, and ADAPTER, a LoRA for it, for tests in which no real library runs."""

from __future__ import annotations

from harness.adapters.adapter import Adapter
from harness.models.base_model import Base, Weight

#: Two matrices, a bias, and no architecture: the fake library takes any file for a model.
BASE = Base(
    name="small",
    architecture="none",
    files={
        "model": {
            "block.proj.weight": Weight(shape=(64, 32), std=0.1, dtype="F32"),
            "block.out.weight": Weight(shape=(32, 64), std=0.1, dtype="F32"),
            "block.bias": Weight(shape=(3,), std=0.0, mean=(1.0, 2.0, 3.0)),
        }
    },
    targets={"block.proj": ("model", "block.proj.weight"), "block.out": ("model", "block.out.weight")},
)
#: Changes both matrices of BASE with rank 4 and alpha 2.
ADAPTER = Adapter(name="lora-r4", base="small", rank=4, alpha=2.0)
