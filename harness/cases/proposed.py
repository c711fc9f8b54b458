"""The cases that ``sdcpp verify`` runs on a change by default: those that notice the most mutants, first.

``proposed_cases.json`` is written by ``sdcpp study mutation --smallest`` from the kill matrices in results/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.cases.case import AnyCase
from harness.records.record import Cell
from sdcpp.errors import FileInvalid

PATH = Path(__file__).with_name("proposed_cases.json")
A = TypeVar("A", bound=AnyCase)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCases:
    """The smallest set of cases that notices every mutant that all tried cases notice, in the order of its choice.

    ``cases`` are ids as ``case_id`` returns them. ``mutants`` is the number of mutants that were tried, without those
    that do not compile and those that no picture can show, and ``noticed`` is the number that the cases notice.
    ``revisions`` names the sources of the mutants.
    """

    cases: tuple[str, ...]
    mutants: int
    noticed: int
    revisions: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What the set is worth, for reports."""
        if not self.mutants:
            return "no mutants have been tried"
        share = (
            f"{self.noticed} of {self.mutants} generated mutants ({100 * self.noticed / self.mutants:.0f} %)"
        )
        return f"its smallest part, {len(self.cases)} cases, notices {share} of {', '.join(self.revisions)}"


def case_id(case: AnyCase) -> str:
    """Return ``BASE/CASE@MODE``, which names a case of all matrices and modes."""
    return f"{case.dimensions['base']}/{case.name}@{case.dimensions['mode']}"


def cell_id(cell: Cell) -> str:
    """Return the ``case_id`` of a cell's case."""
    return f"{cell.dimensions['base']}/{cell.case}@{cell.dimensions['mode']}"


def read(path: Path = PATH) -> ProposedCases:
    """Return the set that a file holds; raises FileInvalid."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return ProposedCases(
            cases=tuple(case["case"] for case in entry["cases"]),
            mutants=entry["mutants"],
            noticed=entry["noticed"],
            revisions=tuple(entry["revisions"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileInvalid(
            f"not a set of cases ({error})", path, "write it with `sdcpp study mutation --smallest`"
        ) from error


def chosen_first(own: Iterable[A], wider: Iterable[A], chosen: Sequence[str]) -> list[A]:
    """Return the chosen cases of both lists in the order of ``chosen``, and then the other cases of ``own``."""
    place = {name: number for number, name in enumerate(chosen)}
    own = list(own)
    known = {case_id(case) for case in own}
    cases = own + [case for case in wider if case_id(case) in place and case_id(case) not in known]
    return sorted(cases, key=lambda case: place.get(case_id(case), len(place)))
