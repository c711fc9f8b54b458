"""docs/names.md: how each model family's layers are called in adapters, and which names the library understands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.adapters.adapter import Adapter, target_parts
from harness.cases.families import ALL_SCHEMES
from harness.judging.combined import CombinedRecords, CombinedRow
from harness.models.base_model import Base
from harness.models.families.catalogue import FAMILIES, WITHOUT_MODEL
from harness.records.record import Cell
from harness.reports import markdown
from harness.reports.support_matrix import MODES, error_or_verdict

#: The command that writes the page.
COMMAND = "sdcpp combine results/families/*.jsonl* --names docs/names.md"
#: The backend whose records the page shows: names are converted before a backend is used.
BACKEND = "cpu"


def page(combined_records: CombinedRecords) -> str:
    """Return docs/names.md as Markdown."""
    cells = _cells(combined_records)
    lines = [
        "# Which names of LoRA tensors the library understands",
        "",
        "Trainers call the same layer of a model by different names. A LoRA whose names the library does not",
        "understand does nothing (NO_EFFECT), or only part of it works (WRONG). Each row is a LoRA of the layers in",
        "the blocks of a small random model of the family, with rank 32, as F32 safetensors, on the CPU. The example",
        "is the first tensor of the file.",
        "",
        "- **✓** and a number: the names are understood. The number is the effect error: 0 if the adapter is applied",
        "  exactly, 1 if it is ignored.",
        "- A verdict such as `NO_EFFECT`: [README.md](../README.md) explains it.",
        "",
        f"`{COMMAND}` generates this page from the records in `results/`. Run",
        "`sdcpp verify --matrix families` for records of your own.",
    ]
    for state in dict.fromkeys(state for state, *_ in cells):
        lines += ["", f"## {state}", "", *_table(state, cells)]
    lines += ["", "## Families without a small model", ""]
    lines += ["The library cannot open a model of these families that is small enough for the tests.", ""]
    lines += [*markdown.head(["family", "reason"]), *map(markdown.row, WITHOUT_MODEL.items())]
    return "\n".join(lines) + "\n"


def _cells(combined_records: CombinedRecords) -> Mapping[tuple[str, str, str, str], Cell]:
    """Return the cells of the LoRAs of the families by state, base model, scheme and mode."""
    found = {}
    for row in combined_records.rows:
        cell = _of_backend(row)
        if cell and row.base in FAMILIES and cell.dimensions.get("type") == "F32":
            found[row.state, row.base, cell.dimensions.get("scheme", ""), row.mode] = cell
    return found


def _of_backend(row: CombinedRow) -> Cell | None:
    return next((cell for column, cell in row.cells.items() if column.backend == BACKEND), None)


def _table(state: str, cells: Mapping[tuple[str, str, str, str], Cell]) -> Iterable[str]:
    yield from markdown.head(["family", "names", "example", *MODES])
    for base in FAMILIES.values():
        for scheme in ALL_SCHEMES:
            found = [cells.get((state, base.name, scheme, mode)) for mode in MODES]
            if any(found):
                yield markdown.row(
                    [base.name, scheme, markdown.code(_example(base, scheme)), *map(error_or_verdict, found)]
                )


def _example(base: Base, scheme: str) -> str:
    """Return the name of the first tensor of a LoRA for a base model."""
    part = next(target_parts(Adapter(name="example", base=base.name, scheme=scheme), base))
    return part.key("down")
