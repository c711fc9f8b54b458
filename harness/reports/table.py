"""One run seen as a table: which rows and columns there are and what they are called.

All renderers start from this view; none of them looks for rows, pairs or labels by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.record import Cell, Records, Side
from harness.records.verdict import Status, Verdict
from harness.reports.vocabulary import worst
from harness.text import listed

#: The dimension that runs across the table, below each side. All others run down.
ACROSS = "mode"

ColumnKey = tuple[str, str]


def title(cell: Cell) -> str:
    """Return a cell's name among those of its side, as ``--select`` takes it: ``gguf-F16@auto``."""
    mode = cell.dimensions.get(ACROSS, "")
    return f"{cell.case}@{mode}" if mode else cell.case


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """One column: a side and a value of the dimension that runs across ("" where a side has none)."""

    side: Side
    mode: str

    @property
    def place(self) -> ColumnKey:
        """The key of this column's cells in a row."""
        return self.side.label, self.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row: what is the same in all its cells, as words and by dimension, and the cells by column."""

    words: tuple[str, ...]
    values: Mapping[str, str]
    cells: Mapping[ColumnKey, Cell]

    @property
    def label(self) -> str:
        """The row's name."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """A run as a table.

    ``dimensions`` maps each dimension to its values in order of appearance; ``constant`` holds those with the
    same value in every cell.
    """

    records: Records
    sides: tuple[Side, ...]
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    dimensions: Mapping[str, tuple[str, ...]]
    constant: Mapping[str, str]
    statuses: Mapping[Status, int]
    verdicts: Mapping[Verdict, int]

    @property
    def known(self) -> dict[str, list[Cell]]:
        """The cells with a known defect, by the reason that their expectation gives."""
        found: dict[str, list[Cell]] = {}
        for cell in self.records.cells:
            if cell.status is Status.XFAIL:
                found.setdefault(cell.reason or cell.evidence or str(cell.verdict), []).append(cell)
        return found

    @property
    def failing(self) -> list[Cell]:
        """The cells that keep the run from exiting 0, unexpected failures first."""
        return sorted(self.records.failing, key=lambda cell: worst([cell]))

    def columns_of(self, sides: Iterable[Side]) -> tuple[TableColumn, ...]:
        """Return the columns that belong to some of the sides."""
        labels = {side.label for side in sides}
        return tuple(column for column in self.columns if column.side.label in labels)

    def names(self, rows: Sequence[TableRow], limit: int = 12) -> str:
        """Return the names of some rows in one line: ``gguf F32, F16; ckpt F16``.

        More than ``limit`` rows, or names too long for a line, give way to what sets the rows apart:
        ``64 cases: container gguf; type Q8_0``.
        """
        if len(rows) <= limit:
            groups: dict[tuple[str, ...], list[str]] = {}
            for row in rows:
                *head, tail = row.words
                groups.setdefault(tuple(head), []).append(tail)
            text = "; ".join(" ".join([*head, ", ".join(tails)]) for head, tails in groups.items())
            if len(text) <= 160 or len(rows) <= 3:
                return text
        apart = []
        for name in rows[0].values:
            every = {row.values[name] for row in self.rows}
            here = list(dict.fromkeys(row.values[name] for row in rows))
            if len(here) < len(every):
                apart.append(f"{name} {listed([value or '–' for value in here], 6)}")
        return f"{len(rows)} cases: {'; '.join(apart) or 'of every kind'}"

    def describe(self, cells: Sequence[Cell], limit: int = 12) -> str:
        """Say where some cells stand: ``2025-12 pristine: gguf F32, F16 (immediately, auto)``."""
        rows, sides, modes = [], [], []
        wanted = {id(cell) for cell in cells}
        for row in self.rows:
            here = [place for place, cell in row.cells.items() if id(cell) in wanted]
            if here:
                rows.append(row)
                sides += [side for side, _ in here]
                modes += [mode for _, mode in here]
        sides, modes = list(dict.fromkeys(sides)), list(dict.fromkeys(modes))
        where = f"{listed(sides, 3)}: {self.names(rows, limit)}"
        return f"{where} ({', '.join(modes)})" if any(modes) else where


def arrange(records: Records) -> ReportTable:
    """Arrange the cells of a run."""
    sides = dict(records.sides)
    for cell in records.cells:
        # A file that was cut by hand still deserves a report.
        if cell.side not in sides:
            sides[cell.side] = _stranger(cell.side)
    dimensions = _dimensions(records.cells)
    modes = dimensions.get(ACROSS, ())
    found = {(cell.side, cell.dimensions.get(ACROSS, "")) for cell in records.cells}
    columns = [
        TableColumn(side=side, mode=mode)
        for side in sides.values()
        for mode in ("", *(m for m in modes if m))
        if (side.label, mode) in found
    ]
    return ReportTable(
        records=records,
        sides=tuple(sides.values()),
        columns=tuple(columns),
        rows=tuple(_rows(records.cells, dimensions)),
        dimensions=dimensions,
        constant={
            name: values[0]
            for name, values in dimensions.items()
            if len(values) == 1 and all(name in cell.dimensions for cell in records.cells)
        },
        statuses=Counter(cell.status for cell in records.cells),
        verdicts=Counter(cell.verdict for cell in records.cells),
    )


def _stranger(label: str) -> Side:
    return Side(label=label, revision=label, patched=False, backend="", identity="", build={})


def worst_first(rows: Iterable[TableRow]) -> list[TableRow]:
    """Return the rows, those with the worst statuses first and otherwise in their order."""
    return sorted(rows, key=lambda row: worst(row.cells.values()))


def _dimensions(cells: Sequence[Cell]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in cell.dimensions.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def _down(cells: Sequence[Cell], dimensions: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the dimensions that tell rows apart.

    One that has a single value on every side (such as the base model that a revision demands) does not: the
    rows of two sides would never meet.
    """
    values: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for name in dimensions:
            values.setdefault((cell.side, name), set()).add(cell.dimensions.get(name, ""))
    others = [name for name in dimensions if name != ACROSS]
    varied = {name for (_, name), found in values.items() if len(found) > 1}
    return [name for name in others if name in varied] or others


def _rows(cells: Sequence[Cell], dimensions: Mapping[str, tuple[str, ...]]) -> list[TableRow]:
    down = _down(cells, dimensions)
    keys = [tuple(cell.dimensions.get(name, "") for name in down) for cell in cells]
    taken = Counter(
        (key, cell.side, cell.dimensions.get(ACROSS, "")) for key, cell in zip(keys, cells, strict=True)
    )
    rows: dict[tuple[tuple[str, ...], str], dict[ColumnKey, Cell]] = {}
    crowded = {key for (key, _, _), count in taken.items() if count > 1}
    for key, cell in zip(keys, cells, strict=True):
        mode = cell.dimensions.get(ACROSS, "")
        # Cells that no dimension tells apart are told apart by their names, less what names the column.
        more = (
            cell.case.replace(mode, "*") if key in crowded and mode else cell.case if key in crowded else ""
        )
        rows.setdefault((key, more), {})[cell.side, mode] = cell
    usual = _usual(down, [key for key, _ in rows])
    brief = [_words(down, key, usual) for key, _ in rows]
    repeated = {words for words, count in Counter(brief).items() if count > 1}
    found = []
    for (key, more), words, cells_ in zip(rows, brief, rows.values(), strict=True):
        full = (more,) if more else _words(down, key) if words in repeated else words
        name = full or (next(iter(cells_.values())).case,)
        found.append(TableRow(words=name, values=dict(zip(down, key, strict=True)), cells=cells_))
    return found


def _usual(down: Sequence[str], keys: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the usual value of each dimension that has one and whose values need its name, as ranks do."""
    usual = {}
    for place, name in enumerate(down):
        values = Counter(key[place] for key in keys if key[place])
        [(value, count)] = values.most_common(1) or [("", 0)]
        if value and not value[0].isalpha() and count > sum(values.values()) / 2:
            usual[name] = value
    return usual


def _words(
    down: Sequence[str], key: Sequence[str], usual: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return what names a row: ``gguf`` and ``F32`` speak for themselves, ``rank 4`` needs its name."""
    words: dict[str, None] = {}
    for name, value in zip(down, key, strict=True):
        if value not in {"", "-"} and (usual or {}).get(name) != value:
            words[value if value[0].isalpha() else f"{name} {value}"] = None
    return tuple(words)
