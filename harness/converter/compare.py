"""How far two adapter files are apart: the relative error of ΔW, module by module and in all."""

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
    """One module: the Frobenius norms of ΔW in A and of the difference to B, and B's types."""

    key: str
    kind: str
    types: str
    norm: float
    error: float

    @property
    def relative(self) -> float:
        """‖A - B‖ / ‖A‖; 0 for two that change nothing."""
        return ratio(self.error, self.norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterComparison:
    """Two files: the modules that both have, and the names that one of them has alone."""

    a: Path
    b: Path
    differences: Sequence[ModuleDifference]
    only_a: Sequence[str]
    only_b: Sequence[str]

    @property
    def relative(self) -> float:
        """The relative error of all ΔW taken as one vector. What B lacks counts as it is in A."""
        return ratio(
            math.sqrt(sum(d.error**2 for d in self.differences)),
            math.sqrt(sum(d.norm**2 for d in self.differences)),
        )

    def worst(self, count: int = 10) -> list[ModuleDifference]:
        """Return the modules with the largest relative error."""
        return sorted(self.differences, key=lambda d: -d.relative)[:count]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON's types."""
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
    """Return error / norm, 0 / 0 being 0."""
    return error / norm if norm else (math.inf if error else 0.0)


def snr(relative: float) -> float:
    """Return the signal-to-noise ratio in decibels of a relative error."""
    return -20 * math.log10(relative) if relative else math.inf


def finite(value: float) -> float | None:
    """Return a number as JSON can say it: None for infinity."""
    return value if math.isfinite(value) else None


def compare(a: Path, b: Path) -> AdapterComparison:
    """Return how far two adapter files are apart. Raises what reading and ``delta.delta`` raise."""
    return compare_files(read_tensors(a), read_tensors(b))


def compare_files(a: File, b: File) -> AdapterComparison:
    """Return how far two read files are apart."""
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
    return [
        tensor.name
        for key, module in one.modules.items()
        for part, tensor in module.parts.items()
        if key not in other.modules or part not in other.modules[key].parts
    ]


def _distance(module: Module, other: Module, change: weight_change.WeightChange) -> float:
    if module.parts.keys() == other.parts.keys() and all(
        t.kind == other.parts[n].kind
        and t.shape == other.parts[n].shape
        and np.array_equal(t.raw(), other.parts[n].raw())
        for n, t in module.parts.items()
    ):
        return 0.0
    return weight_change.distance(change, weight_change.weight_change(other))


def _types(module: Module) -> str:
    return "/".join(t.kind for part, t in module.parts.items() if part not in ("alpha", "scale", "dora"))
