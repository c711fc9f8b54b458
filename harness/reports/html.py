"""The report for a browser: one file with everything in it, made for looking at single cells.

Python decides what is said; the script in the page only shows, hides and walks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.records.record import Cell
from harness.records.verdict import FAILING, Status
from harness.reports import before_after, builds, templating
from harness.reports.before_after import SidePair
from harness.reports.pictures import Album
from harness.reports.table import ACROSS, ReportTable, title
from harness.reports.vocabulary import NUMBERS, SEVERITY, SHAPES, STATUSES, VERDICTS, figures, short, worst
from harness.text import plural

#: Characters of pictures after which only those of failing cells are still added.
BUDGET = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One thing to choose by: its key in the page's data, its name, and its values with their counts."""

    key: str
    name: str
    values: Sequence[tuple[str, int]]


def render(shown: ReportTable, budget: int = BUDGET) -> str:
    """Return the page. ``budget`` bounds the pictures, in characters; failing cells always have theirs."""
    pairs = before_after.pairs(shown)
    kinds = _kinds(shown, pairs)
    keys = _keys(shown)
    numbers = {id(cell): number for number, cell in enumerate(shown.records.cells)}
    album, pictures = _pictures(shown, budget)
    dimensions = _described(shown, kinds)
    texts: dict[str, int] = {}
    data = {
        "names": list(dimensions[0]) if dimensions else [],
        "cells": [
            _cell(cell, keys[number], dimensions[number], pictures.get(number), texts)
            for number, cell in enumerate(shown.records.cells)
        ],
        "texts": list(texts),
        "pictures": album.uris,
        "numbers": NUMBERS,
        "verdicts": VERDICTS,
        "statuses": STATUSES,
        "before": _before(shown, pairs, numbers),
    }
    return templating.fill(
        "report.html.j2",
        run=shown.records.run,
        finished=shown.records.finished,
        sentence=before_after.sentence(shown, pairs),
        good=not shown.records.failing and bool(shown.records.finished),
        view=shown,
        legend=[(s, SHAPES[s][0], shown.statuses.get(s, 0), STATUSES[s]) for s in SEVERITY],
        sides=shown.sides,
        builds=builds,
        passages=[_passages(shown, pair) for pair in pairs],
        failing=[(numbers[id(cell)], cell, short(cell)) for cell in shown.failing[:100]],
        open_failing=12,
        known=[(why, shown.describe(cells), numbers[id(cells[0])]) for why, cells in shown.known.items()],
        filters=_filters(dimensions),
        heads=_heads(shown),
        rows=sorted(shown.rows, key=lambda row: min(worst(row.cells.values()), len(FAILING))),
        number=lambda cell: numbers[id(cell)],
        title=title,
        short=short,
        shapes={status: shapes[0] for status, shapes in SHAPES.items()},
        missing=_missing(shown, pictures),
        data=data,
    )  # fmt: skip


def _keys(shown: ReportTable) -> list[str]:
    """Return the name of each cell in a link: ``side/case@mode``, numbered where that is not unique."""
    taken: Counter[str] = Counter()
    keys = []
    for cell in shown.records.cells:
        key = f"{cell.side}/{title(cell)}"
        taken[key] += 1
        keys.append(key if taken[key] == 1 else f"{key} {taken[key]}")
    return keys


def _kinds(shown: ReportTable, pairs: Sequence[SidePair]) -> dict[int, str]:
    """Return what became of the cells of the patched sides, by identity."""
    return {
        id(found.after): found.kind
        for pair in pairs
        for found in before_after.changes(shown, pair)
        if found.after
    }


def _before(shown: ReportTable, pairs: Sequence[SidePair], numbers: Mapping[int, int]) -> dict[int, int]:
    """Return the pristine cell for each patched one, both as numbers."""
    return {
        numbers[id(found.after)]: numbers[id(found.before)]
        for pair in pairs
        for found in before_after.changes(shown, pair)
        if found.after and found.before
    }


def _described(shown: ReportTable, kinds: Mapping[int, str]) -> list[dict[str, str]]:
    """Return all that each cell can be chosen by: what the side, the case and the verdict say."""
    sides = {side.label: side for side in shown.sides}
    found = []
    for cell in shown.records.cells:
        side = sides[cell.side]
        known = {
            "revision": side.revision,
            "build": side.label.removeprefix(side.revision).strip(),
            "backend": side.backend,
        }
        found.append(
            {
                "status": str(cell.status),
                "verdict": str(cell.verdict),
                "change": kinds.get(id(cell), ""),
                **{name: value for name, value in known.items() if name not in shown.dimensions},
                **{name: cell.dimensions.get(name, "") for name in shown.dimensions},
            }
        )
    return found


def _filters(dimensions: Sequence[Mapping[str, str]]) -> list[Filter]:
    counts: dict[str, Counter[str]] = {}
    for entry in dimensions:
        for name, value in entry.items():
            counts.setdefault(name, Counter())[value] += 1
    # Nothing can be chosen where there is one value only.
    return [
        Filter(key=name, name=name.replace("_", " "), values=list(found.items()))
        for name, found in counts.items()
        if len(found) > 1
    ]


def _heads(shown: ReportTable) -> list[tuple[str, list[str]]]:
    """Return the columns as (side, modes)."""
    heads: list[tuple[str, list[str]]] = []
    for column in shown.columns:
        if not heads or heads[-1][0] != column.side.label:
            heads.append((column.side.label, []))
        heads[-1][1].append(column.mode)
    return heads


def _passages(shown: ReportTable, pair: SidePair) -> dict[str, Any]:
    """Return what the patches of a pair do, in counts for each type."""
    found = before_after.changes(shown, pair)
    dimension = next(
        (name for name in ("type", *shown.dimensions) if name in shown.dimensions and name != ACROSS), ""
    )
    table = before_after.by_value(found, dimension)
    return {
        "label": f"{pair.label}, {' → '.join(pair.words)}",
        "tally": before_after.summary(shown, pair),
        "states": [facts[name] for name in ("before", "after")]
        if (facts := shown.records.run.proposal.get(pair.before.revision))
        else [],
        "kept": "" if before_after.same_build(pair) else before_after.kept(found),
        "dimension": dimension,
        "rows": [
            (value or "–", [(before, after, count) for (before, after), count in counts.most_common()])
            for value, counts in table.items()
        ],
    }


def _pictures(shown: ReportTable, budget: int) -> tuple[Album, dict[int, dict[str, int]]]:
    """Choose the cells whose pictures are shown: failing ones, then known ones, one of each row, the rest."""
    album = Album(shown.records, budget)
    cells = shown.records.cells
    sample = {id(next(iter(row.cells.values()))) for row in shown.rows}

    def rank(number: int) -> int:
        cell = cells[number]
        if cell.status in FAILING:
            return 0
        return 1 if cell.status is Status.XFAIL else 2 if id(cell) in sample else 3

    chosen: dict[int, dict[str, int]] = {}
    for number in sorted(range(len(cells)), key=rank):
        if album.full and rank(number):
            break
        if cells[number].pictures:
            chosen[number] = album.add(dict(cells[number].pictures))
    return album, chosen


def _missing(shown: ReportTable, pictures: Mapping[int, object]) -> str:
    left = sum(bool(cell.pictures) for cell in shown.records.cells) - len(pictures)
    if not left:
        return ""
    return (
        f"To keep this file small it holds no pictures of {plural(left, 'cell')} that are as expected; "
        "they are in records.jsonl."
    )


def _cell(
    cell: Cell,
    key: str,
    dimensions: Mapping[str, str],
    pictures: Mapping[str, int] | None,
    texts: dict[str, int],
) -> dict[str, Any]:
    """Return what the page's script must know of a cell; texts that repeat are kept once, by their place."""

    def text(content: str) -> int:
        return texts.setdefault(content, len(texts))

    entry: dict[str, Any] = {"key": key, "by": [text(value) for value in dimensions.values()]}
    entry |= {"side": text(cell.side), "name": title(cell), "figures": figures(cell)}
    for field in ("why", "evidence", "reason", "repeat"):
        if content := getattr(cell, field):
            entry[field] = text(content)
    if pictures is not None:
        entry["pictures"] = pictures
    elif cell.pictures:
        entry["left"] = True
    return entry
