"""Compare two adapter files: the relative error of ΔW for each module and for all modules together.

Modules are paired by the layer that they change, so the files may have different names. Every tensor counts: changes of
biases, magnitudes of DoRA, replaced layers and tensors that are not understood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_state, pairing
from harness.converter.contents import require_adapter
from harness.converter.layer_state import LayerState
from harness.converter.module_threads import for_each
from harness.converter.modules import Layout, Module, layout_of
from harness.converter.pairing import Pair
from harness.formats.read import read_tensors
from harness.formats.tensor import File, Tensor
from sdcpp.waiting_line import Progress, unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDifference:
    """The comparison of one layer, or of a tensor that is not understood.

    ``norm`` is ‖A‖, the Frobenius norm of what file A changes, and ``error`` is ‖A - B‖. ``types`` are the tensor types
    in B. ``key`` is the name of the module in A.
    """

    key: str
    kind: str
    types: str
    norm: float
    error: float

    @property
    def relative(self) -> float:
        """The relative error ‖A - B‖ / ‖A‖. It is 0 if both norms are 0."""
        return ratio(self.error, self.norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterComparison:
    """The comparison of two files: the layers that A changes, and the names of tensors that only one file has.

    ``extra`` is the norm of what B changes in layers that A does not change.
    """

    a: Path
    b: Path
    differences: Sequence[ModuleDifference]
    only_a: Sequence[str]
    only_b: Sequence[str]
    extra: float = 0.0

    @property
    def relative(self) -> float:
        """The relative error of all changes, taken as one vector. A module that a file lacks counts as no change."""
        return ratio(
            math.hypot(self.extra, *(d.error for d in self.differences)),
            math.hypot(*(d.norm for d in self.differences)),
        )

    def worst(self, count: int = 10) -> list[ModuleDifference]:
        """Return the modules with the largest relative error."""
        return sorted(self.differences, key=lambda d: -d.relative)[:count]

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as values that JSON supports."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "relative_error": self.relative,
            "snr_db": finite(snr(self.relative)),
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "norm_only_b": self.extra,
            "modules": [
                {
                    "key": d.key,
                    "kind": d.kind,
                    "types": d.types,
                    "norm": d.norm,
                    "relative_error": d.relative,
                    "snr_db": finite(snr(d.relative)),
                }
                for d in self.differences
            ],
        }


def ratio(error: float, norm: float) -> float:
    """Return error / norm. The result is 0 if both are 0, and infinity if only the norm is 0."""
    return error / norm if norm else (math.inf if error else 0.0)


def snr(relative: float) -> float:
    """Return the signal-to-noise ratio, in decibels, of a relative error."""
    return -20 * math.log10(relative) if relative else math.inf


def finite(value: float) -> float | None:
    """Return ``value``, or None if it is infinite or NaN, which JSON does not support."""
    return value if math.isfinite(value) else None


def compare(a: Path, b: Path, progress: Progress = unseen) -> AdapterComparison:
    """Return the comparison of two adapter files.

    ``progress`` is called with the number of layers done and their total.
    Raises AdapterUnknown if ``a`` has no adapter or if tensors do not fit together, and the errors of ``read_tensors``.
    """
    return compare_files(read_tensors(a), read_tensors(b), progress)


def compare_files(a: File, b: File, progress: Progress = unseen) -> AdapterComparison:
    """Return the comparison of two files that have been read (see ``compare``). Raises AdapterUnknown."""
    left, right = layout_of(a), layout_of(b)
    require_adapter(a, left.modules)
    require_adapter(b, right.modules)
    pairs = pairing.pairs(left, right)
    others = _others(left, right)
    names = {tensor.name for tensor in left.other_tensors}
    found = for_each(_difference, pairs, progress)
    extra = [each.error for each, pair in zip(found, pairs, strict=True) if not pair.a]
    extra += [other.error for other in others if other.key not in names]
    across = {m.key for pair in pairs if pair.a and pair.b and not pair.same_key for m in (*pair.a, *pair.b)}
    return AdapterComparison(
        a=a.path,
        b=b.path,
        differences=[each for each, pair in zip(found, pairs, strict=True) if pair.a]
        + [d for d in others if d.key in names],
        only_a=_only(left, right, across),
        only_b=_only(right, left, across),
        extra=math.hypot(*extra),
    )


def _difference(pair: Pair) -> ModuleDifference:
    """Return the comparison of the modules of one layer."""
    modules = pair.b or pair.a
    states: list[tuple[LayerState | None, LayerState | None]]
    if pair.same_key and _equal(pair.a[0], pair.b[0]):
        same = layer_state.state(pair.a[0])
        states = [(same, same)]
    elif pair.same_key:
        states = [(layer_state.state(pair.a[0]), layer_state.state(pair.b[0]))]
    elif pair.a and pair.b:
        states = pairing.states(pair)
    else:
        states = [(layer_state.state(m), None) for m in pair.a] + [
            (None, layer_state.state(m)) for m in pair.b
        ]
    nothing = LayerState(changes={})
    return ModuleDifference(
        key=(pair.a or pair.b)[0].key,
        kind=(pair.a or pair.b)[0].kind,
        types="/".join(dict.fromkeys(kind for module in modules for kind in _types(module))),
        norm=math.hypot(*(layer_state.norm(x) for x, _ in states if x is not None)),
        error=math.hypot(
            *(layer_state.distance(x or nothing, y or nothing) if x is not y else 0.0 for x, y in states)
        ),
    )


def _others(left: Layout, right: Layout) -> list[ModuleDifference]:
    """Return the comparison of the tensors that are not understood, by name and value."""
    a, b = ({tensor.name: tensor for tensor in each.other_tensors} for each in (left, right))
    differences = []
    for name in {**a, **b}:
        x, y = a.get(name), b.get(name)
        one, other = _flat(x), _flat(y)
        if x is not None and y is not None and one.shape != other.shape:
            error = math.hypot(float(np.linalg.norm(one)), float(np.linalg.norm(other)))
        else:
            size = max(one.size, other.size)
            error = float(np.linalg.norm(np.resize(one, size) - np.resize(other, size)))
        differences.append(
            ModuleDifference(
                key=name,
                kind="tensor",
                types=y.kind if y is not None else x.kind if x is not None else "",
                norm=float(np.linalg.norm(one)),
                error=error,
            )
        )
    return differences


def _flat(tensor: Tensor | None) -> NDArray[np.float64]:
    """Return the values of a tensor in one dimension, or nothing if there is none."""
    return np.zeros(0) if tensor is None else tensor.values().astype(np.float64).reshape(-1)


def _only(one: Layout, other: Layout, across: Set[str]) -> list[str]:
    """Return the names of the tensors of ``one`` for which ``other`` has no tensor.

    ``across`` are the keys of modules whose layer has another name in the other file. They are left out.
    """
    unknown = {tensor.name for tensor in other.other_tensors}
    return [
        tensor.name
        for key, module in one.modules.items()
        if key not in across
        for part, tensor in module.parts.items()
        if key not in other.modules or not _has(other.modules[key], part)
    ] + [tensor.name for tensor in one.other_tensors if tensor.name not in unknown]


def _has(module: Module, part: str) -> bool:
    """Return whether a module has a part. Its alpha may be in the metadata."""
    return part in module.parts or (part == "alpha" and module.declared is not None)


def _equal(module: Module, other: Module) -> bool:
    """Return whether two modules have equal bytes and the same declared scale."""
    return (
        module.parts.keys() == other.parts.keys()
        and module.declared == other.declared
        and all(
            t.kind == other.parts[n].kind
            and t.shape == other.parts[n].shape
            and np.array_equal(t.raw(), other.parts[n].raw())
            for n, t in module.parts.items()
        )
    )


def _types(module: Module) -> list[str]:
    """Return the types of the factors of a module."""
    return [t.kind for part, t in module.parts.items() if part not in ("alpha", "scale", "dora")]
