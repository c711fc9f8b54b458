"""The table of a run: its rows and columns and their names. Every report starts from this table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.record import Cell, Records, Side
from harness.records.verdict import NOT_JUDGED, Status, Verdict
from harness.reports.vocabulary import severity
from harness.text import listed

#: The dimension whose values are columns below each side. The values of all others distinguish rows.
ACROSS = "mode"

#: The label of a side and a value of ``ACROSS``.
ColumnKey = tuple[str, str]


def case_id(cell: Cell) -> str:
    """Return the id of a cell's case on its side, as the command line takes it: ``gguf-F16@auto``."""
    mode = cell.dimensions.get(ACROSS, "")
    return f"{cell.case}@{mode}" if mode else cell.case


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column: a side and an apply mode, which is "" for cells without one."""

    side: Side
    mode: str

    @property
    def key(self) -> ColumnKey:
        """The key of the column's cells in ``TableRow.cells``."""
        return self.side.label, self.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row: one case in all columns.

    ``label`` is the name of the case, followed by the base model if the case runs on several. ``values`` are the values
    of the dimensions that vary between rows.
    """

    label: str
    values: Mapping[str, str]
    cells: Mapping[ColumnKey, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """The table of a run.

    ``dimensions`` maps each dimension to its values, in the order of the cells. ``constant`` maps the dimensions that
    have the same value in all cells to that value.
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
    def expected_failures(self) -> dict[str, list[Cell]]:
        """The cells that failed as expected, by the reason of their expectation. UNSTABLE cells are listed apart."""
        found: dict[str, list[Cell]] = {}
        for cell in self.records.cells:
            if cell.status is Status.XFAIL and cell.verdict is not Verdict.UNSTABLE:
                found.setdefault(expectation_reason(cell), []).append(cell)
        return found

    @property
    def failing(self) -> list[Cell]:
        """The cells that fail the run, the unexpected failures first, and of these the judged ones."""
        return sorted(self.records.failing, key=lambda cell: (severity([cell]), cell.verdict in NOT_JUDGED))

    @property
    def unstable(self) -> list[Cell]:
        """The cells whose build does not always give the same result, those that no expectation names first."""
        found = [cell for cell in self.records.cells if cell.verdict is Verdict.UNSTABLE]
        return sorted(found, key=lambda cell: cell.status is Status.XFAIL)

    def columns_of(self, sides: Iterable[Side]) -> tuple[TableColumn, ...]:
        """Return the columns of some of the sides."""
        labels = {side.label for side in sides}
        return tuple(column for column in self.columns if column.side.label in labels)

    def names(self, rows: Sequence[TableRow], limit: int = 12) -> str:
        """Return the names of some rows in one line: ``gguf-F32, gguf-F16``.

        If there are more than ``limit`` rows, or their names do not fit a line, return what distinguishes them from the
        other rows of the table: ``64 cases: container gguf; type Q8_0``.
        """
        if len(rows) <= limit:
            text = ", ".join(row.label for row in rows)
            if len(text) <= 160 or len(rows) <= 3:
                return text
        distinguishing = []
        for name in rows[0].values:
            all_values = {row.values[name] for row in self.rows}
            values = list(dict.fromkeys(row.values[name] for row in rows))
            if len(values) < len(all_values):
                distinguishing.append(f"{name} {listed([value or '–' for value in values], 6)}")
        return f"{len(rows)} cases: {'; '.join(distinguishing) or 'of all kinds'}"

    def describe(self, cells: Sequence[Cell], limit: int = 12) -> str:
        """Return the sides, cases and modes of some cells: ``2025-12 pristine: gguf-F32 (immediately, auto)``."""
        rows, sides, modes = [], [], []
        wanted = {id(cell) for cell in cells}
        for row in self.rows:
            keys = [key for key, cell in row.cells.items() if id(cell) in wanted]
            if keys:
                rows.append(row)
                sides += [side for side, _ in keys]
                modes += [mode for _, mode in keys]
        sides, modes = list(dict.fromkeys(sides)), list(dict.fromkeys(modes))
        text = f"{listed(sides, 3)}: {self.names(rows, limit)}"
        return f"{text} ({', '.join(modes)})" if any(modes) else text


def expectation_reason(cell: Cell) -> str:
    """Return the reason for which a cell was expected to fail, or its evidence or verdict if no reason is recorded."""
    return cell.reason or cell.evidence or str(cell.verdict)


def arrange(records: Records) -> ReportTable:
    """Return the table of a run."""
    sides = dict(records.sides)
    for cell in records.cells:
        # A records file that somebody edited may lack a side.
        if cell.side not in sides:
            sides[cell.side] = _unknown_side(cell.side)
    dimensions = _dimensions(records.cells)
    modes = dimensions.get(ACROSS, ())
    keys = {(cell.side, cell.dimensions.get(ACROSS, "")) for cell in records.cells}
    columns = [
        TableColumn(side=side, mode=mode)
        for side in sides.values()
        for mode in ("", *(m for m in modes if m))
        if (side.label, mode) in keys
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


def _unknown_side(label: str) -> Side:
    return Side(label=label, revision=label, patched=False, backend="", identity="", build={})


def worst_first(rows: Iterable[TableRow]) -> list[TableRow]:
    """Return the rows sorted by severity, the worst first. Rows of the same severity keep their order."""
    return sorted(rows, key=lambda row: severity(row.cells.values()))


def _dimensions(cells: Sequence[Cell]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in cell.dimensions.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def _varying(cells: Sequence[Cell], dimensions: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the dimensions that vary between rows: those with several values on one side, or else all of them.

    A dimension with one value on each side, such as the base model that a revision needs, distinguishes sides, not
    rows.
    """
    values: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for name in dimensions:
            values.setdefault((cell.side, name), set()).add(cell.dimensions.get(name, ""))
    names = [name for name in dimensions if name != ACROSS]
    varied = {name for (_, name), found in values.items() if len(found) > 1}
    return [name for name in names if name in varied] or names


def _rows(cells: Sequence[Cell], dimensions: Mapping[str, tuple[str, ...]]) -> list[TableRow]:
    varying = _varying(cells, dimensions)
    # A case that runs several times on one side, as on several base models, has a row for each.
    twins: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        twins.setdefault((cell.side, cell.case, cell.dimensions.get(ACROSS, "")), []).append(cell)
    distinguishing = [
        name
        for name in varying
        if any(len({cell.dimensions.get(name, "") for cell in same}) > 1 for same in twins.values())
    ]
    rows: dict[tuple[str, tuple[str, ...]], dict[ColumnKey, Cell]] = {}
    for cell in cells:
        key = cell.case, tuple(cell.dimensions.get(name, "") for name in distinguishing)
        rows.setdefault(key, {})[cell.side, cell.dimensions.get(ACROSS, "")] = cell
    names = Counter(case for case, _ in rows)
    found = []
    for (case, values), row in rows.items():
        first = next(iter(row.values()))
        found.append(
            TableRow(
                label=case if names[case] == 1 else f"{case} ({', '.join(filter(None, values))})",
                values={name: first.dimensions.get(name, "") for name in varying},
                cells=row,
            )
        )
    return found
