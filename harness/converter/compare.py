"""Compare two adapter files: the relative error of ΔW for each module and for all modules together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.converter import weight_change
from harness.converter.modules import Layout, Module, layout
from harness.formats.read import read_tensors
from harness.formats.tensor import File
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDifference:
    """The comparison of one module.

    ``norm`` is ‖A‖, the Frobenius norm of ΔW in file A, and ``error`` is ‖A - B‖. ``types`` are the tensor types in B.
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
    """The comparison of two files: the modules of A, and the names of tensors that only one file has."""

    a: Path
    b: Path
    differences: Sequence[ModuleDifference]
    only_a: Sequence[str]
    only_b: Sequence[str]

    @property
    def relative(self) -> float:
        """The relative error of all ΔW, taken as one vector. A module that B lacks counts with its norm in A."""
        return ratio(
            math.sqrt(sum(d.error**2 for d in self.differences)),
            math.sqrt(sum(d.norm**2 for d in self.differences)),
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


def compare(a: Path, b: Path) -> AdapterComparison:
    """Return the comparison of two adapter files.

    Raises AdapterUnknown if ``a`` has no adapter or if tensors do not fit together, and the errors of ``read_tensors``.
    """
    return compare_files(read_tensors(a), read_tensors(b))


def compare_files(a: File, b: File) -> AdapterComparison:
    """Return the comparison of two files that have been read. Raises AdapterUnknown."""
    left, right = (layout(file.tensors.values()) for file in (a, b))
    if not left.modules:
        raise AdapterUnknown("no tensor of an adapter was found", a.path, "check that the file is an adapter")
    differences = []
    for key, module in left.modules.items():
        change = weight_change.weight_change(module)
        other = right.modules.get(key)
        norm = weight_change.norm(change)
        error = norm if other is None else _distance(module, other, change)
        differences.append(
            ModuleDifference(key=key, kind=module.kind, types=_types(other or module), norm=norm, error=error)
        )
    return AdapterComparison(
        a=a.path,
        b=b.path,
        differences=differences,
        only_a=_only(left, right),
        only_b=_only(right, left),
    )


def _only(one: Layout, other: Layout) -> list[str]:
    """Return the names of the tensors of ``one`` for which ``other`` has no tensor."""
    return [
        tensor.name
        for key, module in one.modules.items()
        for part, tensor in module.parts.items()
        if key not in other.modules or part not in other.modules[key].parts
    ]


def _distance(module: Module, other: Module, change: weight_change.WeightChange) -> float:
    """Return ‖A - B‖ of two modules; ``change`` is the ΔW of ``module``. Modules with equal bytes have distance 0."""
    if module.parts.keys() == other.parts.keys() and all(
        t.kind == other.parts[n].kind
        and t.shape == other.parts[n].shape
        and np.array_equal(t.raw(), other.parts[n].raw())
        for n, t in module.parts.items()
    ):
        return 0.0
    return weight_change.distance(change, weight_change.weight_change(other))


def _types(module: Module) -> str:
    """Return the types of the factors of a module, separated by slashes."""
    return "/".join(t.kind for part, t in module.parts.items() if part not in ("alpha", "scale", "dora"))
