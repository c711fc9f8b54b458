"""The values that factors have after ``sdcpp lora convert``, computed in memory and equal to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter.cast import cast
from harness.converter.plan import PLAIN, TensorPlan, plan
from harness.formats.tensor import Tensor, decoded
from harness.quantising.finite import finite
from harness.quantising.quantiser import Quantiser
from sdcpp.errors import FileInvalid

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor(Tensor):
    """A tensor whose ``content`` is in memory: float32 values in its shape.

    ``kind`` is the type in which the trainer saves it. The values are rounded to that type first.
    """

    content: F32
    path: Path = Path("the model in training")
    offset: int = 0

    def values(self) -> F32:
        """Return the values that the trainer's file has. Raises FileInvalid if one is NaN or infinite."""
        saved = decoded(cast(self.content, self.kind), self.kind).astype(np.float32, copy=False)
        if not finite(saved):
            raise FileInvalid(
                f"factor {self.name}: NaN or infinity cannot be quantised",
                self.path,
                "the training diverges; lower the learning rate",
            )
        return saved.reshape(self.shape)

    def pieces(self) -> Iterator[F32]:
        """Yield the values in one piece."""
        yield self.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The type of a factor in the converted file, and the values [shape] that a reader of the file gets."""

    kind: str
    why: str
    values: F32


def converted_values(
    factors: Sequence[Factor], types: Sequence[str], quantiser: Quantiser
) -> dict[str, Converted]:
    """Return what ``sdcpp lora convert --type TYPES`` makes of each factor in a GGUF file, by name.

    The types are chosen by the converter's own rules. All rows of one type and one length are quantised in one call.
    Raises TypeUnavailable for a type that ``quantiser`` cannot make, and FileInvalid for NaN and infinity.
    """
    plans = plan(factors, "gguf", types, quantiser.types())
    values = {factor.name: factor.values() for factor in factors}
    found: dict[str, F32] = {}
    for (kind, row), group in groupby(sorted(plans, key=_alike), _alike):
        names = [planned.tensor.name for planned in group]
        if kind in PLAIN:
            found |= {name: _rounded(values[name], kind) for name in names}
            continue
        rows = np.concatenate([values[name].reshape(-1, row) for name in names])
        _, stored = quantiser.nearest_with_values(rows, kind)
        start = 0
        for name in names:
            count = values[name].size // row
            found[name] = stored[start : start + count].reshape(values[name].shape)
            start += count
    return {
        planned.tensor.name: Converted(kind=planned.kind, why=planned.why, values=found[planned.tensor.name])
        for planned in plans
    }


def _alike(planned: TensorPlan) -> tuple[str, int]:
    """Return the type and the length of a row."""
    return planned.kind, planned.tensor.row


def _rounded(values: F32, kind: str) -> F32:
    """Return values as a reader gets them if they are stored as a float type."""
    return decoded(cast(values, kind), kind).astype(np.float32, copy=False).reshape(values.shape)
