"""The ranks of a written adapter, and the report about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.text import plural
from sdcpp.printable import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRank:
    """The rank of a module before and after, and the energies ‖ΔW‖² of it and of what was lost.

    ``before`` is None for what had no factors, and ``after`` for a difference that is stored in full.
    """

    key: str
    before: int | None
    after: int | None
    energy: float
    lost: float = 0.0

    @property
    def error(self) -> float:
        """The relative error in the Frobenius norm."""
        return math.sqrt(self.lost / self.energy) if self.energy else 0.0


def joint_error(modules: Sequence[NewRank]) -> float:
    """Return the relative error of modules, taken as one vector."""
    energy = sum(each.energy for each in modules)
    return math.sqrt(sum(each.lost for each in modules) / energy) if energy else 0.0


@dataclass(slots=True, kw_only=True)
class Ranks:
    """A written adapter: the modules that were computed, and the number of modules that were copied as they are.

    ``vectors`` is the number of differences of biases and norms. ``left_out`` has a line for each reason for which
    modules are missing, ``notes`` what else is worth knowing.
    """

    target: Path
    modules: list[NewRank] = field(default_factory=list)
    copied: int = 0
    vectors: int = 0
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The relative error of all computed modules together."""
        return joint_error(self.modules)

    def as_json(self) -> dict[str, object]:
        """Return the ranks and errors as values that JSON supports."""
        return {
            "target": self.target.name,
            "relative_error": self.error,
            "copied": self.copied,
            "biases_and_norms": self.vectors,
            "left_out": self.left_out,
            "notes": self.notes,
            "modules": [
                {"key": each.key, "rank_before": each.before, "rank": each.after, "error": each.error}
                for each in self.modules
            ],
        }

    @property
    def conclusion(self) -> str:
        """What was written, in one line."""
        ranks = sorted(each.after for each in self.modules if each.after is not None)
        full = len(self.modules) - len(ranks)
        said = []
        if ranks or not (full or self.copied or self.vectors):
            low, high = (ranks[0], ranks[-1]) if ranks else (0, 0)
            span = f" of rank {low}" + (f" to {high}" if high != low else "") if ranks else ""
            said.append(f"{plural(len(ranks), 'module')}{span}")
        if full:
            said.append(f"{plural(full, 'full difference')}")
        if self.vectors:
            said.append(f"{self.vectors} of biases and norms")
        if self.copied:
            said.append(f"{plural(self.copied, 'module')} copied")
        return f"{self.target}: {', '.join(said)}, relative error of ΔW {self.error:.3%}"

    def text(self, *, verbose: bool = False, quiet: bool = False) -> str:
        """Return the conclusion, then notes and what was left out, and with ``verbose`` a line for each module."""
        lines = [self.conclusion]
        if verbose:
            lines += [
                f"{each.error:10.3%}  rank {each.before or '-'} -> {each.after or 'full'}  {each.key}"
                for each in self.modules
            ]
        if not quiet:
            lines += self.notes
            shown = self.left_out if verbose else self.left_out[:5]
            lines += [f"left out: {line}" for line in shown]
            if len(shown) < len(self.left_out):
                lines.append(f"left out: {len(self.left_out) - len(shown)} more, which -v shows")
        return "\n".join(map(printable, lines))
