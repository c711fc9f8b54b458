"""Check that the tensors of a module define a ΔW. The check reads shapes, types and scalars."""

from __future__ import annotations

import math

from harness.converter import weight_change
from harness.converter.cast import is_float
from harness.converter.modules import Module


def problem(module: Module) -> str:  # noqa: PLR0911 - one return for each problem
    """Return the first problem of a module, with the tensor and its byte offset in the file, or "" if there is none."""
    if module.kind == "incomplete":
        return f"{module.key} lacks {module.missing}"
    for tensor in module.parts.values():
        if not tensor.size:
            return f"tensor {tensor.name} of shape {list(tensor.shape)} is empty, at byte {tensor.offset}"
        if tensor in (module.parts.get("up"), module.parts.get("down")) and len(tensor.shape) < 2:
            return (
                f"tensor {tensor.name} of shape {list(tensor.shape)} is not a matrix, at byte {tensor.offset}"
            )
        if tensor.size > 1 and not is_float(tensor.kind):
            return f"tensor {tensor.name} has integers ({tensor.kind}), at byte {tensor.offset}"
    for part in ("alpha", "scale"):
        if part in module.parts:
            tensor = module.parts[part]
            if tensor.size != 1:
                return (
                    f"tensor {tensor.name} has {tensor.size} values instead of one, at byte {tensor.offset}"
                )
            value = float(tensor.values().reshape(-1)[0])
            if not math.isfinite(value) or not value:
                return f"tensor {tensor.name} is {value:g}, at byte {tensor.offset}"
    return declared_problem(module) or _unmultipliable(module)


def declared_problem(module: Module) -> str:
    """Return what is wrong with the scale that the metadata of a module declare, or "" if nothing is."""
    declared = module.declared
    if declared is None or "scale" in module.parts:
        return ""
    if declared.problem:
        return "" if "alpha" in module.parts else f"{module.key}: {declared.problem}"
    if "alpha" in module.parts and module.rank and declared.rank:
        stored = float(module.parts["alpha"].values().reshape(-1)[0]) / module.rank
        if weight_change.alpha_is_used(module) and not math.isclose(
            stored, declared.value(module.rank), rel_tol=0.01
        ):
            return (
                f"{module.key} has a scale of {stored:g} by its alpha, and of {declared.value(module.rank):g} "
                f"by {declared.source}"
            )
    elif declared.rank and module.rank and declared.rank != module.rank:
        return f"{module.key} has rank {module.rank}, {declared.source} declares {declared.rank}"
    if not declared.value(module.rank or 1):
        return f"{module.key} has alpha 0 by {declared.source}"
    return ""


def _unmultipliable(module: Module) -> str:
    """Return the first two factors of a module that cannot be multiplied, or "" if all can."""
    for first, second, axes in _PAIRS.get(module.kind, ()):
        if first in module.parts and second in module.parts:
            a, b = module.parts[first], module.parts[second]
            if min(len(a.shape), len(b.shape)) < 2 or a.shape[axes[0]] != b.shape[axes[1]]:
                return (
                    f"tensors {a.name} {list(a.shape)} and {b.name} {list(b.shape)} cannot be multiplied, "
                    f"at byte {b.offset}"
                )
    return ""


#: For each kind: pairs of factors, and the axis of each whose lengths must be equal.
_PAIRS = {
    "lora": (("up", "down", (1, 0)),),
    "tucker": (("up", "mid", (1, 0)), ("mid", "down", (1, 0))),
    "lokr": (("lokr_w1_a", "lokr_w1_b", (1, 0)),),
}
