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


def tried(revision: str, backend: str, base: str, use: str = "") -> bool:
    """Return whether cases with a base model of the harness were judged on a revision and a backend.

    With ``use`` these are the cases with that value of the dimension "use" or "sequence".
    """
    uses = _digest().get(f"{revision} {backend}", {}).get(base)
    return uses is not None and (not use or use in uses)


@functools.cache
def _digest() -> Mapping[str, Mapping[str, Sequence[str]]]:
    found: Mapping[str, Mapping[str, Sequence[str]]] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def digest(paths: Iterable[Path]) -> dict[str, dict[str, list[str]]]:
    """Return the base models with judged cases in records files, each with its uses and sequences.

    The keys are revision and backend.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for path in paths:
        records = record.read(path)
        for cell in records.cells:
            if cell.verdict in NOT_JUDGED:
                continue
            side = records.sides[cell.side]
            bases = found.setdefault(f"{side.revision} {side.backend}", {})
            uses = bases.setdefault(cell.dimensions["base"], set())
            uses |= {cell.dimensions[name] for name in ("use", "sequence") if name in cell.dimensions}
    return {key: {base: sorted(uses) for base, uses in sorted(found[key].items())} for key in sorted(found)}


def results() -> list[Path]:
    """Return the records files of all machines, in a checkout."""
    folders = (RESULTS, RESULTS / "cpu", RESULTS / "families", RESULTS / "uses")
    return [path for folder in folders for path in sorted(folder.glob("*.jsonl*"))]


def main() -> int:
    """Write the digest."""
    PATH.write_text(json.dumps(digest(results()), indent=1) + "\n", encoding="utf-8")
    console.note(f"wrote {PATH}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
