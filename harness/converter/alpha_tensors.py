"""Tensors for the alpha that only the metadata of a file declare. Most programs read alpha from tensors alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.converter import weight_change
from harness.converter.cast import cast
from harness.converter.modules import Layout, Module
from harness.converter.plan import TensorPlan
from harness.formats.tensor import Bytes, Tensor
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaTensors:
    """The plans of the new tensors, and a function for each, by name, that returns its bytes."""

    plans: Sequence[TensorPlan]
    computed: dict[str, Callable[[], Bytes]]


def alpha_tensors(adapter: Layout, plans: Sequence[TensorPlan]) -> AlphaTensors:
    """Return the tensors that an adapter with the planned tensors needs. A scale of 1 needs none.

    The value is scale * rank, where the rank is the planned one, which may be padded. Raises AdapterUnknown for a LoKr
    of PEFT whose matrices are both whole, because other programs use no alpha there.
    """
    planned = {plan.tensor.name: plan for plan in plans}
    found: list[TensorPlan] = []
    computed: dict[str, Callable[[], Bytes]] = {}
    for module in adapter.modules.values():
        declared = module.declared
        if declared is None or declared.problem or {"alpha", "scale"} & set(module.parts):
            continue
        scale = weight_change.scale(module)
        if scale == 1 or not weight_change.alpha_is_used(module):
            continue
        if module.rank is None:
            raise AdapterUnknown(
                f"{module.key} has a scale of {scale:g} by {declared.source}, which no tensor can express",
                module.key,
                "merge it into the base model instead",
            )
        down = module.parts.get("down")
        rank = module.rank if down is None else planned[down.name].shape[0]
        name = _name(module)
        path = next(iter(module.parts.values())).path
        found.append(
            TensorPlan(
                tensor=Tensor(name=name, shape=(), kind="F32", path=path, offset=0),
                kind="F32",
                why=f"alpha from {declared.source}",
            )
        )
        computed[name] = partial(cast, np.array([scale * rank], np.float64), "F32")
    return AlphaTensors(plans=found, computed=computed)


def _name(module: Module) -> str:
    """Return the name of the tensor of alpha. diffusers 0.11 to 0.17 end the name of the layer with "_lora"."""
    down = module.parts.get("down")
    old = down is not None and down.name == f"{module.key}_lora.down.weight"
    return f"{module.key}{'_lora' if old else ''}.alpha"
