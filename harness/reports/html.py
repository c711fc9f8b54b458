"""The report for a browser: one HTML file with all cells, their pictures, numbers and evidence.

Everything that the page shows is computed here. Its script only shows, hides and navigates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.records.record import Cell, Side
from harness.records.verdict import FAILING, NOT_JUDGED, Status
from harness.reports import before_after, builds, templating
from harness.reports.before_after import SidePair
from harness.reports.headline import good, headline
from harness.reports.pictures import Album
from harness.reports.table import ACROSS, ReportTable, case_id
from harness.reports.vocabulary import (
    NUMBERS,
    SEVERITY,
    SIGNS,
    STATUSES,
    VERDICTS,
    figures,
    severity,
    verdict_text,
)
from harness.text import plural
from sdcpp.printable import printable

#: When the pictures take more than this many characters, only those of failing cells are added.
BUDGET = 10_000_000
#: The largest number of unstable cells in the list above the table.
UNSTABLE = 100
#: The largest number of patches of a side that are listed without folding.
PATCHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter: its key in the data of the page, its name, and its values with the number of cells of each."""

    key: str
    name: str
    values: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDefect:
    """The cells that fail for one known reason, and the cell whose pictures are shown for all of them."""

    reason: str
    place: str
    cells: Sequence[Cell]
    shown: Cell


def render(table: ReportTable, budget: int = BUDGET) -> str:
    """Return the page. ``budget`` limits the pictures, in characters; failing cells always have theirs."""
    pairs = before_after.pairs(table)
    keys = _keys(table)
    numbers = {id(cell): number for number, cell in enumerate(table.records.cells)}
    album, pictures = _pictures(table, budget)
    values = _filter_values(table, pairs)
    texts: dict[str, int] = {}
    data = {
        "names": list(values[0]) if values else [],
        "cells": [
            _cell(cell, keys[number], values[number], pictures.get(number), texts)
            for number, cell in enumerate(table.records.cells)
        ],
        "texts": list(texts),
        "pictures": album.uris,
        "numbers": NUMBERS,
        "verdicts": VERDICTS,
        "statuses": STATUSES,
        "before": _before(table, pairs, numbers),
    }
    return templating.fill(
        "report.html.j2",
        run=table.records.run,
        finished=table.records.finished,
        headline=headline(table, pairs),
        good=good(table),
        table=table,
        legend=[(s, SIGNS[s][0], table.statuses.get(s, 0), STATUSES[s]) for s in SEVERITY],
        builds=builds,
        comparisons=[_comparison(table, pair) for pair in pairs],
        failing=table.failing[:100],
        open_failing=12,
        unstable=table.unstable[:UNSTABLE],
        expected=_known_defects(table, {id(table.records.cells[number]) for number in pictures}),
        patches=_patches,
        plural=plural,
        filters=_filters(values),
        heads=_heads(table),
        rows=sorted(table.rows, key=lambda row: min(severity(row.cells.values()), len(FAILING))),
        number=lambda cell: numbers[id(cell)],
        link=lambda cell: "#" + quote(keys[numbers[id(cell)]], safe=""),
        case_id=case_id,
        verdict_text=verdict_text,
        signs={status: signs[0] for status, signs in SIGNS.items()},
        missing=_missing(table, pictures),
        data=data,
    )  # fmt: skip


def _keys(table: ReportTable) -> list[str]:
    """Return the name of each cell in links: ``SIDE/CASE@MODE``, with a number if that is not unique."""
    taken: Counter[str] = Counter()
    keys = []
    for cell in table.records.cells:
        key = f"{cell.side}/{case_id(cell)}"
        taken[key] += 1
        keys.append(key if taken[key] == 1 else f"{key} {taken[key]}")
    return keys


def _known_defects(table: ReportTable, pictured: Collection[int]) -> list[KnownDefect]:
    """Return the known defects, those last whose cells are not judged. The cell with most pictures represents each.

    ``pictured`` has the ids of the cells whose pictures are in the page.
    """

    def rank(cell: Cell) -> int:
        return len(cell.pictures) if id(cell) in pictured else -1

    found = [
        KnownDefect(reason=reason, place=table.describe(cells), cells=cells, shown=max(cells, key=rank))
        for reason, cells in table.expected_failures.items()
    ]
    return sorted(found, key=lambda defect: defect.shown.verdict in NOT_JUDGED)


def _patches(side: Side) -> tuple[str, str]:
    """Return the number of patches of a side, or "" if they need no folding, and the text that lists them."""
    names = builds.patches(side)
    return f"{len(names)} patches" if len(names) > PATCHES else "", builds.patches_text(side)


def _before(table: ReportTable, pairs: Sequence[SidePair], numbers: Mapping[int, int]) -> dict[int, int]:
    """Return, for each cell on the second side of a pair, the same case on the first side. Cells are numbers."""
    return {
        numbers[id(change.after)]: numbers[id(change.before)]
        for pair in pairs
        for change in before_after.changes(table, pair)
        if change.after and change.before
    }


def _filter_values(table: ReportTable, pairs: Sequence[SidePair]) -> list[dict[str, str]]:
    """Return the values of each cell by which it can be filtered: status, verdict, change, build and dimensions."""
    kinds = {
        id(change.after): change.kind
        for pair in pairs
        for change in before_after.changes(table, pair)
        if change.after
    }
    sides = {side.label: side for side in table.sides}
    found = []
    for cell in table.records.cells:
        side = sides[cell.side]
        of_side = {
            "revision": side.revision,
            "build": side.label.removeprefix(side.revision).strip(),
            "backend": side.backend,
        }
        found.append(
            {
                "status": str(cell.status),
                "verdict": str(cell.verdict),
                "change": kinds.get(id(cell), ""),
                **{name: value for name, value in of_side.items() if name not in table.dimensions},
                **{name: cell.dimensions.get(name, "") for name in table.dimensions},
            }
        )
    return found


def _filters(values: Sequence[Mapping[str, str]]) -> list[Filter]:
    """Return a filter for each name with more than one value. Cells without a value do not count as another one."""
    counts: dict[str, Counter[str]] = {}
    for entry in values:
        for name, value in entry.items():
            counts.setdefault(name, Counter())[value] += 1
    return [
        Filter(key=name, name=name.replace("_", " "), values=list(found.items()))
        for name, found in counts.items()
        if sum(value != "" for value in found) > 1
    ]


def _heads(table: ReportTable) -> list[tuple[str, list[str]]]:
    """Return the headings of the columns as (side, modes)."""
    heads: list[tuple[str, list[str]]] = []
    for column in table.columns:
        if not heads or heads[-1][0] != column.side.label:
            heads.append((column.side.label, []))
        heads[-1][1].append(column.mode)
    return heads


def _comparison(table: ReportTable, pair: SidePair) -> dict[str, Any]:
    """Return what changed between the sides of a pair, with counts for each tensor type or another dimension."""
    changes = before_after.changes(table, pair)
    dimension = next(
        (name for name in ("type", *table.dimensions) if name in table.dimensions and name != ACROSS), ""
    )
    facts = table.records.run.proposal.get(pair.before.revision, {})
    return {
        "label": f"{pair.label}, {' → '.join(pair.names)}",
        "summary": before_after.summary(table, pair),
        "states": [facts[name] for name in ("before", "after") if name in facts],
        "passing": "" if before_after.same_build(pair) else before_after.still_passing(changes),
        "dimension": dimension,
        "rows": [
            (value or "–", [(before, after, count) for (before, after), count in counts.most_common()])
            for value, counts in before_after.count_by_value(changes, dimension).items()
        ],
    }


def _pictures(table: ReportTable, budget: int) -> tuple[Album, dict[int, dict[str, int]]]:
    """Return the pictures of the page, and the indices of each cell's pictures by the number of the cell.

    Failing cells come first, then expected failures, then one cell of each row, then the others, until the budget is
    used up.
    """
    album = Album(table.records, budget)
    cells = table.records.cells
    samples = {id(next(iter(row.cells.values()))) for row in table.rows}

    def rank(number: int) -> int:
        cell = cells[number]
        if cell.status in FAILING:
            return 0
        return 1 if cell.status is Status.XFAIL else 2 if id(cell) in samples else 3

    indices: dict[int, dict[str, int]] = {}
    for number in sorted(range(len(cells)), key=rank):
        if album.full and rank(number):
            break
        if cells[number].pictures:
            indices[number] = album.add(dict(cells[number].pictures))
    return album, indices


def _missing(table: ReportTable, pictures: Mapping[int, object]) -> str:
    left = sum(bool(cell.pictures) for cell in table.records.cells) - len(pictures)
    if not left:
        return ""
    return (
        f"To keep this file small, the pictures of {plural(left, 'cell')} with expected results are left out; "
        "records.jsonl has them."
    )


def _cell(
    cell: Cell,
    key: str,
    values: Mapping[str, str],
    pictures: Mapping[str, int] | None,
    texts: dict[str, int],
) -> dict[str, Any]:
    """Return the data of a cell for the script. Texts are indices into ``texts``, to which new ones are added."""

    def text(content: str) -> int:
        return texts.setdefault(printable(content, "\n\t"), len(texts))

    entry: dict[str, Any] = {"key": key, "by": [text(value) for value in values.values()]}
    entry |= {"side": text(cell.side), "name": case_id(cell), "figures": figures(cell)}
    for field in ("why", "evidence", "reason", "repeat"):
        if content := getattr(cell, field):
            entry[field] = text(content)
    if pictures is not None:
        entry["pictures"] = pictures
    elif cell.pictures:
        entry["omitted"] = True
    return entry
