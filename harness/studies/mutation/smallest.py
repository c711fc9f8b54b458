"""Find the smallest set of cases that notices every mutant that all cases notice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.cases.proposed import PATH
from harness.studies.mutation.kill_matrix import KillMatrix, noticed
from sdcpp import atomic_write


def greedy_cover(killers: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """Return cases that together notice every mutant that a case notices, each with the number that it adds.

    ``killers`` has the cases that notice a mutant, by its id. The case that notices the most of the mutants that are
    left comes next; of equals, the first by name. This is Chvátal's greedy set cover (1979): at most ln(n) + 1 times as
    many cases as needed.
    """
    left = {mutant: set(cases) for mutant, cases in killers.items() if cases}
    chosen: list[tuple[str, int]] = []
    while left:
        counts: dict[str, int] = {}
        for cases in left.values():
            for case in cases:
                counts[case] = counts.get(case, 0) + 1
        best = min(counts, key=lambda case: (-counts[case], case))
        chosen.append((best, counts[best]))
        left = {mutant: cases for mutant, cases in left.items() if best not in cases}
    return chosen


def write(matrices: Iterable[KillMatrix], path: Path = PATH) -> Path:
    """Write the smallest set of the kill matrices as data of the package and return its path; raises OutputRefused."""
    matrices = list(matrices)
    killers = {
        f"{matrix.revision} {outcome.id}": outcome.killers
        for matrix in matrices
        for outcome in matrix.counted
    }
    chosen = greedy_cover(killers)
    entry = {
        "mutants": len(killers),
        "noticed": noticed(matrices, (case for case, _ in chosen)),
        "revisions": [matrix.revision for matrix in matrices],
    }
    head = json.dumps(entry, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps({"case": case, "mutants": count}) for case, count in chosen)
    atomic_write.write(path, f'{head},\n "cases": [\n  {rows}\n ]\n}}\n')
    return path
