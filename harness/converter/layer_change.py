"""What a module of an adapter does to a layer: it adds to the weight and the bias, replaces them, or is a DoRA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.converter import weight_change
from harness.converter.modules import Module
from harness.converter.weight_change import Dense, WeightChange
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]


def changes(module: Module) -> dict[str, WeightChange]:
    """Return what a module adds: ΔW under "weight", and the change of the bias under "bias", if it has them.

    The bias of the factor ``up`` is scaled like ΔW (tuners/lora/layer.py of PEFT). Raises AdapterUnknown.
    """
    found: dict[str, WeightChange] = {}
    if module.kind not in ("bias", "replaced"):
        found["weight"] = weight_change.weight_change(module)
    biases = [weight_change.values(module, "diff_b")] if "diff_b" in module.parts else []
    if "up_bias" in module.parts:
        biases.append(weight_change.scale(module) * weight_change.values(module, "up_bias"))
    if biases:
        if len({bias.reshape(-1).shape for bias in biases}) > 1:
            raise AdapterUnknown("two changes of a bias have different lengths", module.key, "check the file")
        total: F64 = np.sum([bias.reshape(-1) for bias in biases], axis=0)
        found["bias"] = Dense(value=total, shape=total.shape)
    return found


def replacements(module: Module) -> dict[str, F64]:
    """Return the values with which a module replaces the weight under "weight" and the bias under "bias"."""
    parts = {"weight": "new_weight", "bias": "new_bias"}
    return {name: weight_change.values(module, part) for name, part in parts.items() if part in module.parts}


def magnitude(module: Module) -> F64:
    """Return the magnitudes of a DoRA, one-dimensional."""
    return weight_change.values(module, "dora").reshape(-1)


def decomposed(module: Module, weight: F64, change: F64, inputs: int) -> F64:
    """Return the change that a DoRA makes: m (W + ΔW) / ‖W + ΔW‖ - W (https://arxiv.org/abs/2402.09353, equation 5).

    ``weight`` and ``change`` are matrices [out, inner] of a layer with ``inputs`` channels. The axes of a kernel are
    part of inner. There is one norm for each output, or for each input channel (see ``Module.dora_per_output``). If
    only one of the two has as many magnitudes, it is that one. Raises AdapterUnknown if neither has.
    """
    m, total = magnitude(module), weight + change
    outputs = len(weight)
    require_magnitudes(module, outputs, inputs)
    if m.size == outputs and (module.dora_per_output or m.size != inputs):
        norms: F64 = np.linalg.norm(total, axis=1, keepdims=True)
        return m[:, None] * (total / norms) - weight
    cube = total.reshape(outputs, inputs, -1)
    lengths: F64 = np.sqrt(np.sum(cube**2, axis=(0, 2), keepdims=True))
    scaled: F64 = m[None, :, None] * (cube / lengths)
    return scaled.reshape(weight.shape) - weight


def require_magnitudes(module: Module, outputs: int, inputs: int) -> None:
    """Raise AdapterUnknown if a DoRA has not one magnitude for each of the outputs, or for each of the inputs.

    PEFT has one for each output.
    """
    size = module.parts["dora"].size
    if size != outputs and (size != inputs or module.dora_per_output):
        raise AdapterUnknown(
            f"{module.key} has {size} magnitudes for a weight of {outputs} outputs and {inputs} inputs",
            module.key,
            "check that the adapter is for this model",
        )
