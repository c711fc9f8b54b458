"""Write the best approximation of a ΔW by factors of a chosen rank, under the names of a module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.converter import low_rank, weight_change
from harness.converter.cast import F16_MAX
from harness.converter.low_rank import RankChoice
from harness.converter.ranks import NewRank
from harness.converter.rewriting import Rewriting
from harness.converter.scratch_file import ScratchFile
from harness.converter.storage import Storage
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange
from harness.quantising.finite import finite
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]
#: The types that computed tensors may have. They can be quantised afterwards.
STORED = ("F32", "F16", "BF16")

#: The parts whose type decides that of computed factors.
FACTORS = frozenset({"up", "down", "mid", "diff"}) | {
    *(f"hada_w{i}_{side}" for i in (1, 2) for side in "ab"),
    *(f"lokr_w{i}{side}" for i in (1, 2) for side in ("", "_a", "_b")),
}


def stored_kind(kinds: Iterable[str]) -> str:
    """Return the type for factors that are computed from factors of these types.

    It is their common type. Several types, F64 and no type become F32. Types coarser than F16, whose values are not
    kept anyway, count as F16.
    """
    found = {kind if kind in STORED else "F32" if kind == "F64" else "F16" for kind in kinds}
    return found.pop() if len(found) == 1 else "F32"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorWriter:
    """Adds computed changes to a new file, and keeps their bytes in a scratch file until the new file is written."""

    found: Rewriting
    scratch: ScratchFile

    def shorten(
        self,
        key: str,
        suffixes: Mapping[str, str],
        change: WeightChange,
        choice: RankChoice,
        *,
        stored: Storage,
        folded: bool = False,
        before: int | None = None,
    ) -> NewRank:
        """Add the best factors of a change under the key of a module, and return their rank and error.

        ``stored`` is their type and scale. A type that is too narrow for a value becomes F32. With ``folded`` there is
        no alpha. ``before`` is the former rank. Raises AdapterUnknown if a value is NaN or infinite, and OutputRefused.
        """
        require_finite(key, change)
        spectrum = low_rank.spectrum(change, choice.rank)
        rank = choice.of(spectrum)
        self._add(key, suffixes, spectrum.factors(rank), stored, folded=folded)
        return NewRank(key=key, before=before, after=rank, energy=spectrum.energy, lost=spectrum.lost(rank))

    def write(
        self,
        key: str,
        suffixes: Mapping[str, str],
        change: WeightChange,
        *,
        stored: Storage,
        folded: bool = False,
        before: int | None = None,
    ) -> NewRank:
        """Add a change in its own form under the key of a module; see ``shorten``."""
        require_finite(key, change)
        self._add(key, suffixes, change, stored, folded=folded)
        rank = change.left.shape[1] if isinstance(change, LowRank) else None
        return NewRank(key=key, before=before, after=rank, energy=weight_change.norm(change) ** 2)

    def write_values(self, name: str, change: WeightChange) -> None:
        """Add all values of a change as a vector, such as that of a bias, in F32; see ``shorten``."""
        require_finite(name, change)
        first = len(self.found.plans)
        values = weight_change.rows(change, 0, change.shape[0])
        self.found.make(name, (values.size,), lambda: values)
        self.found.keep(first, self.scratch)

    def _add(
        self, key: str, suffixes: Mapping[str, str], change: WeightChange, stored: Storage, *, folded: bool
    ) -> None:
        if isinstance(change, LowRank):
            stored = _wide_enough(stored, change.left / stored.scale, change.right)
        first = len(self.found.plans)
        self.found.make_change(key, suffixes, lambda: change, stored=stored, folded=folded)
        self.found.keep(first, self.scratch)


def _wide_enough(stored: Storage, *values: F64) -> Storage:
    """Return a storage with F32 in place of F16 if a value is beyond the range of F16."""
    most = max((float(np.max(np.abs(each), initial=0)) for each in values), default=0.0)
    return Storage(kind="F32", scale=stored.scale) if stored.kind == "F16" and most >= F16_MAX else stored


def require_finite(key: str, change: WeightChange) -> None:
    """Raise AdapterUnknown if a value of a change, or of its factors, is NaN or infinite."""
    arrays = {
        LowRank: ("left", "right"),
        Kronecker: ("first", "second"),
        Dense: ("value",),
    }
    of = (change.a, change.b) if isinstance(change, Product) else (change,)
    if not all(finite(getattr(each, name)) for each in of for name in arrays[type(each)]):
        raise AdapterUnknown(
            "a value is NaN or infinite", key, "sdcpp lora inspect lists such tensors of a LoRA"
        )
