"""Which kinds of cases were run on which revision and backend: a digest of ``results/`` that the package contains.

``python -m harness.own_model.measured`` writes the digest again after results were added.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.records import record
from harness.records.verdict import NOT_JUDGED
from sdcpp import console

#: The digest.
PATH = Path(__file__).parent / "measured.json"
#: The folder of the records of all machines, in a checkout.
RESULTS = Path(__file__).parent.parent.parent / "results"


def tried(revision: str, backend: str, base: str) -> bool:
    """Return whether cases with a base model of the harness were judged on a revision and a backend."""
    return base in _digest().get(f"{revision} {backend}", ())


@functools.cache
def _digest() -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def digest(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Return the base models with judged cases in records files, by revision and backend."""
    found: dict[str, set[str]] = {}
    for path in paths:
        records = record.read(path)
        for cell in records.cells:
            if cell.verdict in NOT_JUDGED:
                continue
            side = records.sides[cell.side]
            found.setdefault(f"{side.revision} {side.backend}", set()).add(cell.dimensions["base"])
    return {key: sorted(found[key]) for key in sorted(found)}


def results() -> list[Path]:
    """Return the records files of all machines, in a checkout."""
    return [*sorted(RESULTS.glob("*.jsonl*")), *sorted((RESULTS / "families").glob("*.jsonl*"))]


def main() -> int:
    """Write the digest."""
    PATH.write_text(json.dumps(digest(results()), indent=1) + "\n", encoding="utf-8")
    console.note(f"wrote {PATH}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
