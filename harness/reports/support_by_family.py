"""The section of docs/support.md about model families: how a GGUF LoRA works with a model of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.cases.families import FILES, SEQUENCES
from harness.judging.combined import CombinedRecords
from harness.layers.versions import ROWS
from harness.models.families.catalogue import FAMILIES, OF_VERSION, WITHOUT_MODEL
from harness.records.record import Cell
from harness.reports import markdown
from harness.reports.family_cells import family_cells, series_lines
from harness.reports.support_matrix import MODES, error_or_verdict


def section(families: CombinedRecords) -> list[str]:
    """Return the lines of the section, from the records of the matrix ``families``; none without records."""
    cells = family_cells(families)
    states = dict.fromkeys(state for state, *_ in cells)
    if not states:
        return []
    lines = [
        "",
        "## Model families",
        "",
        "Every version of models that revision 2026-07 distinguishes, on the CPU. The LoRA has kohya's names;",
        "[names.md](names.md) has those of other trainers. Versions without a small model are tested by names only.",
    ]
    if any(case in SEQUENCES for _, _, case, _ in cells):
        lines += [
            "*A-then-none* is a picture without the LoRA after one with it, *A-then-half-A* one with half of it.",
        ]
    for state in states:
        lines += ["", f"### {state}", "", *series_lines(families, state), *_table(state, cells)]
    return lines


def _table(state: str, cells: Mapping[tuple[str, str, str, str], Cell]) -> Iterable[str]:
    tried = {case for of_state, _, case, _ in cells if of_state == state}
    columns = (*(f"{container}-{kind}" for container, kind in FILES), *SEQUENCES)
    cases = [case for case in columns if case in tried]
    head = [f"{case} {mode}" for case in cases for mode in MODES]
    yield from markdown.head(["version", "model, or why there is none", *head])
    for version in ROWS:
        base = OF_VERSION.get(version.title)
        if base is None or base.name not in FAMILIES:
            reason = WITHOUT_MODEL.get(version.title, "a base model of the tables above")
            yield markdown.row([version.title, reason, *["–"] * len(head)])
            continue
        found = [cells.get((state, base.name, case, mode)) for case in cases for mode in MODES]
        yield markdown.row([version.title, base.name, *map(error_or_verdict, found)])
