"""The measured support matrix: tensor type by backend by mode, beside the table that upstream once documented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.judging.combined import COLUMNS, CombinedColumn, CombinedRecords, CombinedRow
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.reports import markdown
from harness.reports.combined_report import empty
from harness.text import number
from sdcpp.machine.backends import BACKENDS

#: The command that writes the page.
COMMAND = "sdcpp merge results/*.jsonl* --support docs/support.md"
#: What auto picks is one of these two, by the types of the base model.
MODES = ("immediately", "at_runtime")
_PLAIN = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_K = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
_IQ = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS")
#: Upstream's docs/lora.md from 2025-09-08 to 2025-11-13, read off source and never measured there: type to yes or no.
DOCUMENTED: Mapping[str, Mapping[str, bool]] = {
    "cuda": {**dict.fromkeys((*_PLAIN, "I32"), True), **dict.fromkeys((*_K, *_IQ), False)},
    "vulkan": {**dict.fromkeys((*_PLAIN, *_IQ, "MXFP4"), True), **dict.fromkeys((*_K, "I32"), False)},
}


def page(joined: CombinedRecords) -> str:
    """Return docs/support.md."""
    lines = [
        "# Which GGUF LoRAs work where",
        "",
        f"Made from the records in `results/` by `{COMMAND}`; a test fails if it differs from them.",
        "",
        "A cell is what became of a LoRA of rank 32 (256 where blocks hold 256 values) whose tensors have that type,",
        "on the base models of [harness/models/tiny_models.py](../harness/models/tiny_models.py): ✓ with the effect",
        "error if the picture is the one that merging the same values into the model makes, else the verdict",
        "(README.md explains both); –: not tried. *doc* is what upstream's docs/lora.md said from 2025-09-08 to",
        "2025-11-13, read off source and taken down since: yes, no, or nothing. **≠** marks where it differs from what",
        "was measured.",
        "",
        *_machines(joined),
    ]
    for state in joined.states:
        table = _table(joined, state)
        if table:
            lines += ["", f"## {state}", "", *table]
    lines += ["", "## Never run", ""]
    absent = [column.backend for column in joined.columns if not column.device]
    lines += [f"- {name}: {empty(CombinedColumn(backend=name))}." for name in absent]
    others = ", ".join(name for name, known in BACKENDS.items() if known.never_run and name not in COLUMNS)
    lines += [
        f"- {others}: never run; their records in sdcpp/machine/backends.py were written from documentation."
    ]
    return "\n".join(lines) + "\n"


def _machines(joined: CombinedRecords) -> list[str]:
    rows = dict.fromkeys(
        (
            entry.side.backend,
            entry.side.device,
            entry.side.driver or "–",
            _toolkit(entry.side.build),
            entry.run.machine.get("system", "–"),
            entry.run.started[:10],
        )
        for entry in joined.entries
    )
    head = ["backend", "device", "driver", "toolkit", "system", "date"]
    return [*markdown.head(head), *map(markdown.row, sorted(rows))]


def _toolkit(build: Mapping[str, object]) -> str:
    tools = build.get("tools")
    known = tools if isinstance(tools, Mapping) else {}
    return str(known.get("CUDACXX") or known.get("GLSLC") or known.get("CXX") or "–")


def _table(joined: CombinedRecords, state: str) -> list[str]:
    columns = [column for column in joined.columns if column.device]
    several = {c.backend for c in columns if sum(other.backend == c.backend for other in columns) > 1}
    rows = [
        row
        for row in joined.rows
        if row.state == state and row.mode in MODES and row.case == f"gguf-{_type(row)}"
    ]
    used = [column for column in columns if any(column in row.cells for row in rows)]
    if not used:
        return []
    head = ["type"]
    for column in used:
        label = column.label if column.backend in several else column.backend
        head += [f"{label} {mode}" for mode in MODES] + (["doc"] if column.backend in DOCUMENTED else [])
    lines = markdown.head(head)
    documented = {kind for column in used for kind in DOCUMENTED.get(column.backend, ())}
    for kind in sorted({_type(row) for row in rows} | documented, key=_order):
        texts = [kind]
        for column in used:
            found = [_worst(rows, kind, mode, column) for mode in MODES]
            texts += map(_text, found)
            if column.backend in DOCUMENTED:
                texts.append(_documented(DOCUMENTED[column.backend].get(kind), found))
        lines.append(markdown.row(texts))
    return lines


def _type(row: CombinedRow) -> str:
    return next(iter(row.cells.values())).dimensions.get("type", "")


def _order(kind: str) -> tuple[int, str]:
    groups: Sequence[Sequence[str]] = (("F32", "F16", "BF16"), _PLAIN, _K)
    return next((n for n, names in enumerate(groups) if kind in names), len(groups)), kind


def _worst(rows: Iterable[CombinedRow], kind: str, mode: str, column: CombinedColumn) -> Cell | None:
    """Return the worst of a type's cells over the base models."""
    cells = [
        row.cells[column] for row in rows if row.mode == mode and column in row.cells and _type(row) == kind
    ]
    return max(cells, key=lambda cell: (cell.verdict is not Verdict.PASS, cell.error or 0.0), default=None)


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return f"✓ {number(cell.error or 0)}" if cell.verdict is Verdict.PASS else str(cell.verdict)


def _documented(said: bool | None, found: Sequence[Cell | None]) -> str:
    if said is None:
        return ""
    passed = {cell.verdict is Verdict.PASS for cell in found if cell}
    return ("yes" if said else "no") + (" **≠**" if (not said) in passed else "")
