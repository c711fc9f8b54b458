"""Compact records: files small enough to keep in git and to send, with pictures of a few hundred bytes.

A picture keeps every fourth pixel of every fourth row. An effect error that is measured on these pictures is the error
of that sample of the pixels. Everything else that decides a verdict is kept as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.pictures import Pixels, base64_png
from harness.records.record import Cell, Records
from harness.records.verdict import Verdict
from sdcpp import atomic_write

#: Every fourth pixel is kept, down and across.
STEP = 4
#: The library's words are cut to this many characters.
EVIDENCE = 240
#: Dimensions that are left out because the cell's side has them.
_OF_SIDE = ("backend", "revision")
#: The entries of a build's record that are kept: those that another machine's build is compared by, and those that a
#: reader needs.
_BUILD = (
    *("commit", "tag", "ggml_commit", "base", "patches", "options", "compilers", "tools", "cmake"),
    *("platform", "date", "seconds", "generation"),
)


def write(stages: Sequence[Records], path: Path) -> None:
    """Write runs of the same builds as one compact records file; an existing file is replaced.

    ``record.read`` reads the file like any other. If several runs have the same case, the first run counts. The command
    is that of the last run. The cells of the first run keep their pictures, under the hashes of the whole pictures.
    """
    lines = [_line("run", asdict(stages[-1].run))]
    sides = {side.label: side for records in stages for side in records.sides.values()}
    bases = {label: {b: h for r in stages for b, h in r.sides[label].bases.items()} for label in sides}
    for label, side in sides.items():
        build = {name: side.build[name] for name in _BUILD if name in side.build}
        lines.append(_line("side", asdict(replace(side, build=build, bases=bases[label]))))
    cells: dict[tuple[str, ...], Cell] = {}
    for records in stages:
        for cell in records.cells:
            small = _cell(cell, kept=records is stages[0])
            cells.setdefault(
                (cell.side, cell.case, *(cell.dimensions[name] for name in ("base", "mode"))), small
            )
    for name in dict.fromkeys(name for cell in cells.values() for name in cell.pictures.values()):
        if name in stages[0].pictures:
            picture = base64_png(sample(stages[0].pictures[name]))
            lines.append(_line("picture", {"sha256": name, "png": picture}))
    lines += [_line("cell", _fields(cell)) for cell in cells.values()]
    lines.append(_line("end", {"finished": stages[-1].finished}))
    atomic_write.write(path, "".join(lines))


def sample(pixels: Pixels) -> Pixels:
    """Return every fourth pixel of every fourth row of a picture [height, width, channels]."""
    return np.ascontiguousarray(pixels[::STEP, ::STEP])


def _line(kind: str, content: Mapping[str, Any]) -> str:
    return json.dumps({"record": kind, **content}, separators=(",", ":"), ensure_ascii=False) + "\n"


def _cell(cell: Cell, *, kept: bool) -> Cell:
    """Return a cell without ``why``, ``reason``, ``repeat`` and ``memory``, with rounded errors and short evidence.

    It has no pictures unless ``kept``.
    """
    return replace(
        cell,
        dimensions={name: value for name, value in cell.dimensions.items() if name not in _OF_SIDE},
        effect=_rounded(cell.effect),
        error=_rounded(cell.error),
        loss=_rounded(cell.loss),
        seconds=round(cell.seconds, 2),
        why="",
        reason="",
        repeat="",
        memory=0,
        evidence="" if cell.verdict is Verdict.PASS else cell.evidence[:EVIDENCE],
        pictures=dict(cell.pictures) if kept else {},
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _fields(cell: Cell) -> dict[str, Any]:
    """Return the fields of a cell that differ from their defaults and are not empty."""
    usual = {field.name: field.default for field in fields(Cell)}
    return {
        name: value for name, value in asdict(cell).items() if value != usual[name] and value not in ({}, "")
    }
