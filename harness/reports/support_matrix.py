"""docs/support.md: the measured support of tensor types by backend and mode, beside what upstream documented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.judging.combined import COLUMNS, CombinedColumn, CombinedRecords, CombinedRow
from harness.records.record import Cell
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.reports import markdown
from harness.reports.combined_report import why_empty
from harness.text import number
from sdcpp.machine.backends import BACKENDS

#: The command that writes the page.
COMMAND = "sdcpp combine results/*.jsonl* --families results/families/*.jsonl* --support docs/support.md"
#: The columns of a backend. Mode auto means one of these two, depending on the type of the base model.
MODES = ("immediately", "at_runtime")
_PLAIN = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_K = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
_IQ = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS")
#: What upstream's docs/lora.md said from 2025-09-08 to 2025-11-13, by backend: the types, and whether they were
#: supported. Upstream derived it from the source code and did not measure it.
DOCUMENTED: Mapping[str, Mapping[str, bool]] = {
    "cuda": {**dict.fromkeys((*_PLAIN, "I32"), True), **dict.fromkeys((*_K, *_IQ), False)},
    "vulkan": {**dict.fromkeys((*_PLAIN, *_IQ, "MXFP4"), True), **dict.fromkeys((*_K, "I32"), False)},
}


def page(combined_records: CombinedRecords, families: Iterable[str] = ()) -> str:
    """Return docs/support.md as Markdown. ``families`` are the lines of the section about model families."""
    lines = [
        "# Which GGUF LoRA types work on which backend",
        "",
        *_summary(combined_records),
        "",
        "The number of types that work, of those that were tried, in each apply mode. The tables below have each type:",
        ", ".join(f"[{state}](#{state.replace(' ', '-')})" for state in _states(combined_records)) + ".",
        "",
        "Each cell of a table is the result of a LoRA whose tensors have the type in the first column. Its rank is 32,",
        "or 256 for types with blocks of 256 values. If there are several base models, the cell is the worst result.",
        "",
        "- **✓** and a number: the type works. The number is the effect error: 0 if the adapter is applied exactly, 1",
        "  if it is ignored.",
        "- A verdict such as `NO_EFFECT` or `ABORT`: the type fails. [README.md](../README.md) explains the verdicts.",
        "- **–**: not tested.",
        "- *doc*: what upstream's docs/lora.md said from 2025-09-08 to 2025-11-13: yes, no or nothing. Upstream",
        "  derived it from the source code and has removed it since. **≠** marks a difference from the measurement.",
        "",
        f"`{COMMAND}`",
        "generates this page from the records in `results/`. The base models are in",
        "[harness/models/tiny_models.py](../harness/models/tiny_models.py).",
    ]
    for state in _states(combined_records):
        if table := _table(combined_records, state):
            lines += ["", f"## {state}", "", *table]
    lines += families
    lines += ["", "## Devices", "", *_devices(combined_records), "", "## Backends without records", ""]
    absent = [column.backend for column in combined_records.columns if not column.device]
    lines += [f"- {name}: {why_empty(CombinedColumn(backend=name))}." for name in absent]
    others = ", ".join(name for name, known in BACKENDS.items() if known.never_run and name not in COLUMNS)
    lines += [f"- {others}: never run. Their entries in sdcpp/machine/backends.py follow documentation only."]
    return "\n".join(lines) + "\n"


def _states(combined_records: CombinedRecords) -> list[str]:
    """Return the states that have GGUF cases, the newest revision first and each without patches first."""
    found = {row.state for row in combined_records.rows if _is_of_a_type(row)}
    return sorted(sorted(found, reverse=True), key=lambda state: state.split()[0], reverse=True)


def _summary(combined_records: CombinedRecords) -> list[str]:
    """Return a table of how many types work, by state and column."""
    rows = [row for row in combined_records.rows if _is_of_a_type(row)]
    columns = [column for column in combined_records.columns if any(column in row.cells for row in rows)]
    lines = markdown.head(["revision", *(column.label for column in columns)])
    for state in _states(combined_records):
        mine = [row for row in rows if row.state == state]
        lines.append(markdown.row([state, *(_works(mine, column) for column in columns)]))
    return lines


def _works(rows: Sequence[CombinedRow], column: CombinedColumn) -> str:
    """Return how many types work in a column in each mode: ``immediately 3 of 25, at_runtime 25 of 25``."""
    texts = []
    for mode in MODES:
        worst = [_worst(rows, kind, mode, column) for kind in sorted({_type(row) for row in rows})]
        tried = [cell for cell in worst if cell]
        passed = sum(cell.verdict is Verdict.PASS for cell in tried)
        texts += [f"{mode} {passed} of {len(tried)}"] if tried else []
    return ", ".join(texts) or "–"


def _devices(combined_records: CombinedRecords) -> list[str]:
    rows = dict.fromkeys(
        (
            side_record.side.backend,
            side_record.side.device,
            side_record.side.driver or "–",
            _toolkit(side_record.side.build),
            side_record.run.machine.get("system", "–"),
            side_record.run.started[:10],
        )
        for side_record in combined_records.side_records
    )
    head = ["backend", "device", "driver", "toolkit", "system", "date"]
    return [*markdown.head(head), *map(markdown.row, sorted(rows))]


def _toolkit(build: Mapping[str, object]) -> str:
    tools = build.get("tools")
    known = tools if isinstance(tools, Mapping) else {}
    return str(known.get("CUDACXX") or known.get("GLSLC") or known.get("CXX") or "–")


def _table(combined_records: CombinedRecords, state: str) -> list[str]:
    """Return the table of a state, or no lines if it has no GGUF cases."""
    columns = [column for column in combined_records.columns if column.device]
    several = {c.backend for c in columns if sum(other.backend == c.backend for other in columns) > 1}
    rows = [row for row in combined_records.rows if row.state == state and _is_of_a_type(row)]
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
            cells = [_worst(rows, kind, mode, column) for mode in MODES]
            texts += map(error_or_verdict, cells)
            if column.backend in DOCUMENTED:
                texts.append(_documented(DOCUMENTED[column.backend].get(kind), cells))
        lines.append(markdown.row(texts))
    return lines


def _is_of_a_type(row: CombinedRow) -> bool:
    """Tell whether a row is about a tensor type, in one of the modes that the page shows."""
    return row.mode in MODES and row.case == f"gguf-{_type(row)}"


def _type(row: CombinedRow) -> str:
    return next(iter(row.cells.values())).dimensions.get("type", "")


def _order(kind: str) -> tuple[int, str]:
    """Return the sort key of a tensor type: float types, then simple quantised types, K types and others."""
    groups: Sequence[Sequence[str]] = (("F32", "F16", "BF16"), _PLAIN, _K)
    return next((n for n, names in enumerate(groups) if kind in names), len(groups)), kind


def _worst(rows: Iterable[CombinedRow], kind: str, mode: str, column: CombinedColumn) -> Cell | None:
    """Return the worst cell of a type over the base models."""
    cells = [
        row.cells[column] for row in rows if row.mode == mode and column in row.cells and _type(row) == kind
    ]
    return max(cells, key=lambda cell: (cell.verdict is not Verdict.PASS, cell.error or 0.0), default=None)


def error_or_verdict(cell: Cell | None) -> str:
    """Return the effect error of a cell that passes, the verdict of another, or a dash without a cell."""
    if cell is None:
        return "–"
    return f"✓ {number(cell.error or 0)}" if cell.verdict is Verdict.PASS else str(cell.verdict)


def _documented(supported: bool | None, cells: Sequence[Cell | None]) -> str:
    """Return what upstream documented for a type, with a mark if a measured cell contradicts it."""
    if supported is None:
        return ""
    passed = {cell.verdict is Verdict.PASS for cell in cells if cell and cell.verdict not in NOT_JUDGED}
    return ("yes" if supported else "no") + (" **≠**" if (not supported) in passed else "")
