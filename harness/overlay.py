"""A base model with adapters merged into it beforehand, by numpy: the strongest reference there is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.base import Base
from harness.files import AdapterFile
from harness.formats import safetensors
from sdcpp import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An adapter file named in a generation, and its multiplier."""

    file: AdapterFile
    multiplier: float = 1.0


def digest(uses: Sequence[Use]) -> str:
    """SHA-256 of what is merged: the values that the files hold, and the multipliers."""
    parts = [f"{use.file.values_digest()}@{use.multiplier!r}" for use in uses]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def make(base: Base, uses: Sequence[Use]) -> Path:
    """Return a file of those weights of the base that the adapters change, with all of them merged in.

    The changes are added up in float64 and rounded once, to float32.
    """
    path = cache.root() / "merged" / f"{base.name}-{base.digest[:12]}-{digest(uses)[:16]}.safetensors"
    with cache.locked(path):
        if not path.exists():
            sums: dict[tuple[str, str], NDArray[np.float64]] = {}
            for use in uses:
                for place, merged in use.file.merged(use.multiplier).items():
                    plain = base.stored(*place).astype(np.float64)
                    sums[place] = sums.get(place, plain) + (merged.astype(np.float64) - plain)
            partial = path.with_name(f".partial-{path.name}")
            safetensors.write(partial, ((name, a.astype(np.float32)) for (_, name), a in sums.items()))
            partial.replace(path)
    return path
