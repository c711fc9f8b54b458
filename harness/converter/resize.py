"""Write an adapter with other ranks: the best approximation of each ΔW, one module in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import low_rank, weight_change
from harness.converter.convert import check
from harness.converter.hashes import LEGACY_HASH, MODEL_HASH
from harness.converter.low_rank import RankChoice
from harness.converter.modules import Module, layout_of
from harness.converter.naming import KOHYA
from harness.converter.rewriting import Rewriting
from harness.converter.weight_change import LowRank, WeightChange
from harness.formats.read import read_tensors
from harness.formats.tensor import File, MetadataValue
from harness.text import plural
from sdcpp.errors import AdapterUnknown
from sdcpp.printable import printable

F64 = NDArray[np.float64]
Progress = Callable[[int, int], None]
#: The types that new factors may have. Factors in other types become F16, and can be quantised again afterwards.
STORED = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRank:
    """The rank of a module before and after, and the energies ‖ΔW‖² of it and of what was lost."""

    key: str
    before: int | None
    after: int
    energy: float
    lost: float

    @property
    def error(self) -> float:
        """The relative error in the Frobenius norm."""
        return math.sqrt(self.lost / self.energy) if self.energy else 0.0


@dataclass(slots=True, kw_only=True)
class Ranks:
    """A written adapter: the modules with new factors, and the number of modules that were copied as they are."""

    target: Path
    modules: list[NewRank] = field(default_factory=list)
    copied: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The relative error of all modules with new factors together."""
        energy = sum(each.energy for each in self.modules)
        return math.sqrt(sum(each.lost for each in self.modules) / energy) if energy else 0.0

    def as_json(self) -> dict[str, object]:
        """Return the ranks and errors as values that JSON supports."""
        return {
            "target": self.target.name,
            "relative_error": self.error,
            "copied": self.copied,
            "notes": self.notes,
            "modules": [
                {"key": each.key, "rank_before": each.before, "rank": each.after, "error": each.error}
                for each in self.modules
            ],
        }

    def text(self, *, verbose: bool = False, quiet: bool = False) -> str:
        """Return a line with the result, then the notes, and with ``verbose`` a line for each module."""
        ranks = sorted(each.after for each in self.modules)
        span = (
            ""
            if not ranks
            else f" of rank {ranks[0]}" + (f" to {ranks[-1]}" if ranks[0] != ranks[-1] else "")
        )
        lines = [
            f"{self.target}: {plural(len(self.modules), 'module')}{span}, relative error of ΔW {self.error:.3%}"
            + (f", {plural(self.copied, 'module')} copied" if self.copied else "")
        ]
        if verbose:
            lines += [
                f"{each.error:10.3%}  rank {each.before or '-'} -> {each.after}  {each.key}"
                for each in self.modules
            ]
        return "\n".join(map(printable, lines + ([] if quiet else self.notes)))


def resize(
    source: Path, target: Path, choice: RankChoice, progress: Progress = lambda _done, _of: None
) -> Ranks:
    """Write the adapter ``source`` with the ranks of ``choice`` to the file ``target``.

    - alpha changes with the rank, so that the scale stays. A module whose rank is already small enough is copied.
    - LoHa, LoKr and stored differences become plain LoRAs under sd-scripts' names.
    - Biases, replaced tensors, norms and the magnitudes of DoRA are copied.
    - The hashes of sd-scripts in the metadata are left out, and its rank is that of the new file.

    ``progress`` is called with the number of modules done and their total. Raises AdapterUnknown, FileInvalid and
    OutputRefused.
    """
    file = read_tensors(source)
    check(file)
    adapter = layout_of(file)
    result = Ranks(target=target)
    writer = FactorWriter(file, result, choice, len(adapter.modules), progress)
    for module in adapter.modules.values():
        if module.kind in ("bias", "replaced") or len(module_shape(module)) < 2:
            writer.copy(module)
            continue
        if module.kind == "lora" and choice.rank is not None and (module.rank or 0) <= choice.rank:
            writer.copy(module)
            continue
        writer.add(module, partial(weight_change.weight_change, module), weight_change.scale(module))
    for tensor in adapter.other_tensors:
        writer.found.store(tensor.name, tensor)
    writer.write()
    return result


def module_shape(module: Module) -> tuple[int, ...]:
    """Return the shape of the weight that a module changes. Only a stored difference may have one axis."""
    return module.parts["diff"].shape if module.kind == "full" else (0, 0)


class FactorWriter:
    """Collects modules of a new adapter. The factors of one module at a time are computed while they are written."""

    def __init__(self, file: File, result: Ranks, choice: RankChoice, total: int, progress: Progress) -> None:
        self.found = Rewriting(file=file)
        self._result, self._choice, self._progress, self._total = result, choice, progress, total
        self._latest: tuple[str, LowRank] | None = None
        self._done = 0

    def copy(self, module: Module) -> None:
        """Add the tensors of a module as they are, and alpha if only the metadata declare it."""
        for tensor in module.parts.values():
            self.found.store(tensor.name, tensor)
        if not {"alpha", "scale"} & set(module.parts) and weight_change.alpha_is_used(module):
            scale = weight_change.scale(module)
            if scale != 1 and module.rank is not None:
                self.found.make_alpha(f"{module.key}.alpha", scale * module.rank)
        self._result.copied += 1

    def add(self, module: Module, change: Callable[[], WeightChange], scale: float) -> None:
        """Add new factors of a change under the names of a module, with the scale as alpha / rank."""
        scale = scale or 1.0
        rank, shape = self._rank(change)
        pair = module.kind in ("lora", "tucker")
        part = "up" if pair else next(iter(module.parts))
        kind = module.parts[part].kind
        kind = kind if kind in STORED else "F16"
        names = {
            name: module.parts[name].name if pair and name in module.parts else module.key + KOHYA[name]
            for name in ("down", "up", "alpha")
        }
        make = partial(self._factor, module, change, rank)
        ones = (1,) * (len(shape) - 2)
        self.found.make(names["down"], (rank, *shape[1:]), partial(make, "right", 1.0), kind)
        self.found.make(names["up"], (shape[0], rank, *ones), partial(make, "left", scale), kind)
        self.found.make_alpha(names["alpha"], scale * rank)
        for name in ("dora", "diff_b", "up_bias"):
            if name in module.parts:
                self.found.store(module.parts[name].name, module.parts[name])

    def _rank(self, change: Callable[[], WeightChange]) -> tuple[int, tuple[int, ...]]:
        """Return the new rank of a module and the shape of its weight."""
        now = change()
        if self._choice.rank is not None:
            most = now.left.shape[1] if isinstance(now, LowRank) else self._choice.rank
            return min(self._choice.rank, most, now.shape[0], math.prod(now.shape[1:])), now.shape
        found = low_rank.spectrum(now)
        self._done += 1
        self._progress(self._done, 2 * self._total)
        return self._choice.of(found), found.shape

    def _factor(
        self, module: Module, change: Callable[[], WeightChange], rank: int, side: str, scale: float
    ) -> F64:
        """Return a factor, divided by ``scale``. The decomposition is kept until that of another module is needed."""
        if self._latest is None or self._latest[0] != module.key:
            self._latest = None
            found = low_rank.spectrum(change(), rank)
            if not math.isfinite(found.energy):
                raise AdapterUnknown(
                    "a value is NaN or infinite", module.key, "sdcpp lora inspect lists such tensors"
                )
            self._latest = module.key, found.factors(rank)
            self._result.modules.append(
                NewRank(
                    key=module.key, before=module.rank, after=rank, energy=found.energy, lost=found.lost(rank)
                )
            )
            self._done += 1
            self._progress(self._done, self._total if self._choice.rank is not None else 2 * self._total)
        factors = self._latest[1]
        return (factors.left if side == "left" else factors.right) / scale

    def write(self) -> None:
        """Write the file. Raises FileInvalid and OutputRefused."""
        file = self.found.file
        self.found.file = replace(file, metadata=self._metadata())
        self.found.write(self._result.target)

    def _metadata(self) -> dict[str, MetadataValue]:
        """Return the metadata without hashes, and with the new rank where sd-scripts stores it."""
        kept = {k: v for k, v in self.found.file.metadata.items() if k not in (MODEL_HASH, LEGACY_HASH)}
        ranks = {
            planned.shape[0]
            for planned in self.found.plans
            if planned.why == "computed" and _is_down(planned.tensor.name)
        }
        if "ss_network_dim" in kept and ranks:
            text = str(next(iter(ranks))) if len(ranks) == 1 else "Dynamic"
            kept["ss_network_dim"] = MetadataValue(type="STRING", value=text)
            if "ss_network_alpha" in kept:
                # Every new module has a tensor of alpha, which counts before this entry.
                kept["ss_network_alpha"] = MetadataValue(type="STRING", value="Dynamic")
        return kept


def _is_down(name: str) -> bool:
    return name.endswith((".lora_down.weight", ".lora_A.weight", "down.weight"))
