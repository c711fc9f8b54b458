"""Add what several adapters change in one layer to a new file: copied, put together, or approximated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.converter import input_checks
from harness.converter.combined_layers import CombinedLayers, Groups
from harness.converter.decomposition import BaseModel
from harness.converter.factor_writer import FACTORS, FactorWriter, require_finite, stored_kind
from harness.converter.layer_groups import LayerGroup, row_change, weight_shape
from harness.converter.low_rank import RankChoice
from harness.converter.modules import Module
from harness.converter.ranks import Ranks
from harness.converter.renaming import move
from harness.converter.storage import WIDE, Storage, storage
from harness.converter.weight_change import LowRank, WeightChange
from harness.converter.weighted_sum import weighted_sum
from harness.layers.layer import Name
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The modules of one file that change a layer, and the multiplier of the file."""

    multiplier: float
    group: LayerGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCombiner:
    """Combines the layers of some files. ``choice`` is how ranks are chosen; without it all is exact."""

    writer: FactorWriter
    layers: CombinedLayers
    model: BaseModel
    choice: RankChoice | None
    result: Ranks

    def add(self, groups: Groups) -> None:
        """Add the tensors for a layer. ``groups`` are the modules of each file that changes it, by its number."""
        found = self.writer.found
        modules = {module.key: module for group in groups.values() for module in group.modules}
        first, count, copied = len(found.plans), len(self.result.modules), self.result.copied
        try:
            _require_sound(modules.values())
            for target in self.layers.targets(groups):
                parts = [
                    _Part(multiplier=self.layers.sources[number].multiplier, group=group)
                    for number, group in groups.items()
                    if group.touching(target)
                ]
                if parts:
                    self._write(target, parts)
        except AdapterUnknown as error:
            found.drop_after(first)
            del self.result.modules[count:]
            self.result.copied = copied
            found.refuse(list(modules.values()), error.what)

    def _write(self, target: Name, parts: Sequence[_Part]) -> None:
        """Add the tensors for some rows of a layer. Raises AdapterUnknown."""
        names = self.layers.names
        module = parts[0].group.exact(target) if len(parts) == 1 else None
        if module is not None and self._is_copied(module, parts[0].multiplier):
            if module.kind == "replaced" and names.underscores:
                raise AdapterUnknown(
                    "these names have none for a replaced weight", module.key, "choose other --names"
                )
            move(self.writer.found, module, target.text, names, parts[0].multiplier)
            self.result.copied += 1
            return
        touching = [module for part in parts for module, _ in part.group.touching(target)]
        if any(module.kind == "replaced" for module in touching):
            raise AdapterUnknown(
                "one file replaces the layer, so it cannot be added to another change",
                target.text,
                "leave out one of the files",
            )
        weight = self._sum(target, parts, "weight")
        if weight is not None:
            self._write_weight(target, parts, touching, weight)
        bias = self._sum(target, parts, "bias")
        if bias is not None:
            part = "up_bias" if names.folded and isinstance(weight, LowRank) else "diff_b"
            self.writer.write_values(target.text + names.suffixes[part], bias)
            if weight is None:
                self.result.copied += 1

    def _is_copied(self, module: Module, multiplier: float) -> bool:
        """Return whether the tensors of a module can stay as they are but for the multiplier."""
        if module.kind == "replaced":
            return True
        if module.dora:
            return multiplier == 1
        if self.choice is None or module.kind == "bias" or len(weight_shape(module)) < 2:
            return True
        small = self.choice.rank is not None and (module.rank or 0) <= self.choice.rank
        return module.kind == "lora" and small

    def _sum(self, target: Name, parts: Sequence[_Part], parameter: str) -> WeightChange | None:
        """Return the sum of what all files add to some rows, or None if no file adds anything."""
        changes = [
            (part.multiplier, change)
            for part in parts
            if (change := row_change(part.group, target, parameter, self.model.change)) is not None
        ]
        for _, change in changes:
            require_finite(target.text, change)
        return weighted_sum(changes, target.text) if changes else None

    def _write_weight(
        self, target: Name, parts: Sequence[_Part], touching: Sequence[Module], weight: WeightChange
    ) -> None:
        """Add the change of a weight: as it is, or the best approximation of the chosen rank."""
        names, key = self.layers.names, target.text
        own = [module for module in touching if module.kind != "bias"]
        before = max((module.rank for module in own if module.rank), default=None)
        kinds = [t.kind for module in own for part, t in module.parts.items() if part in FACTORS]
        if self.choice is not None and len(weight.shape) > 1 and not self._is_small(weight):
            rank = self.writer.shorten(
                key,
                names.suffixes,
                weight,
                self.choice,
                stored=Storage(kind=stored_kind(kinds)),
                folded=names.folded,
                before=before,
            )
        else:
            multipliers = [
                part.multiplier
                for part in parts
                for module, _ in part.group.touching(target)
                if module.kind != "bias"
            ]
            # Ranks beyond the sides of the matrix were shortened, so the factors are new ones.
            new = sum(module.rank or 0 for module in own) > min(weight.shape[0], math.prod(weight.shape[1:]))
            stored = WIDE if new else storage(own, folded=names.folded, multipliers=multipliers)
            rank = self.writer.write(
                key, names.suffixes, weight, stored=stored, folded=names.folded, before=before
            )
        self.result.modules.append(rank)

    def _is_small(self, weight: WeightChange) -> bool:
        """Return whether factors already have a rank that is small enough."""
        assert self.choice is not None  # noqa: S101 - checked by the caller
        most = self.choice.rank
        return most is not None and isinstance(weight, LowRank) and weight.left.shape[1] <= most


def _require_sound(modules: Iterable[Module]) -> None:
    """Raise AdapterUnknown if a module has a problem (see ``input_checks``)."""
    for module in modules:
        if problem := input_checks.problem(module):
            raise AdapterUnknown(problem, module.key, "--force leaves it out")
