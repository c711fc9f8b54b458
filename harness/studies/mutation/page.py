"""The page docs/mutants.md, and results/mutants.json, from which it is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.records.record import Cell
from harness.studies.mutation import generated, kill_matrix, mutants
from harness.studies.mutation.generated_page import headline, sections
from harness.studies.mutation.kill_matrix import KillMatrix
from harness.studies.mutation.mutants import REVISION, Mutant
from harness.studies.mutation.outcome import WANTED, Outcome, State
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "mutants.md"
RESULTS = project.ROOT / "results" / "mutants.json"
COMMAND = "sdcpp mutants --write-docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catch:
    """A case that reports a mutant; ``error`` and ``tolerance`` are None if the case has no picture to measure."""

    case: str
    mode: str
    base: str
    verdict: str
    error: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """The outcome of one mutant, with the first case that catches it and the case with the largest error."""

    mutant: str
    state: State
    date: str = ""
    first: Catch | None = None
    strongest: Catch | None = None
    revision: str = REVISION


def page_row(outcome: Outcome) -> PageRow:
    """Return the row of an outcome."""
    return PageRow(
        mutant=outcome.mutant.name,
        state=outcome.state,
        date=outcome.date,
        first=_catch(outcome.first),
        strongest=_catch(outcome.strongest),
        revision=outcome.mutant.revision,
    )


def _catch(cell: Cell | None) -> Catch | None:
    if cell is None:
        return None
    return Catch(
        case=cell.case,
        mode=cell.dimensions["mode"],
        base=cell.dimensions["base"],
        verdict=cell.verdict.value,
        error=None if cell.error is None else round(cell.error, 4),
        tolerance=cell.tolerance,
    )


def write(rows: Sequence[PageRow] = ()) -> tuple[Path, Path]:
    """Write rows and the page and return their paths. Rows of other mutants stay as they are.

    Raises CheckoutNeeded in an installed sdcpp.
    """
    project.checkout()
    new = {(row.revision, row.mutant): row for row in rows}
    old = {(row.revision, row.mutant): row for row in (read(RESULTS) if RESULTS.exists() else [])}
    kept = {**old, **new}
    order = [(mutant.revision, mutant.name) for mutant in mutants.load_all()]
    rows = [kept[key] for key in order if key in kept]
    atomic_write.write(RESULTS, "[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n")
    matrices = kill_matrix.read_all(generated.reasons())
    atomic_write.write(PAGE, page(rows, mutants.load_all(), matrices))
    return RESULTS, PAGE


def read(path: Path = RESULTS) -> list[PageRow]:
    """Return the rows that ``write`` wrote."""
    return [_row(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _row(entry: dict[str, Any]) -> PageRow:
    catches = {key: Catch(**entry[key]) if entry[key] else None for key in ("first", "strongest")}
    state, revision = State(entry["state"]), entry.get("revision", REVISION)
    return PageRow(mutant=entry["mutant"], state=state, date=entry["date"], revision=revision, **catches)


def page(rows: Sequence[PageRow], written: Iterable[Mutant], matrices: Sequence[KillMatrix] = ()) -> str:
    """Return the page as Markdown: the mutants that people wrote, and then those that the generator made."""
    known = {(mutant.revision, mutant.name): mutant for mutant in written}
    lines = [
        "# Mutants",
        "",
        "Do the cases notice mistakes? A mutant is the library with one plausible mistake in the code that loads and",
        "applies LoRAs. People wrote the mutants of the first table, and [a program](#mutants-made-by-a-program) made",
        "the others.",
        "",
    ]
    for revision in dict.fromkeys(row.revision for row in rows):
        lines += _summary(revision, [row for row in rows if row.revision == revision], known)
    for matrix in matrices:
        lines += [f"Revision {matrix.revision}, made by a program: {headline(matrix)}", ""]
    lines += [
        "A case catches a mutant if its verdict differs from the verdict on the library without the mistake; crashes"
        " and hangs do not count. A control is a change without effect, which no case may report. After a verdict, the"
        " first number is the effect error and the second the tolerance, which the error exceeds.",
        "",
        f"`{COMMAND}` writes [results/mutants.json](../results/mutants.json), and this page from it. With `--recorded`"
        " it reads finished records and runs nothing. With `--mutant NAME` it runs one mutant, and the rows of the"
        " others stay as they are. `--revision` names the other revision.",
        "",
        "| mutant | mistake | file | first caught by | most clearly by | date |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(row, known[row.revision, row.mutant]) for row in rows]
    return "\n".join([*lines, *sections(matrices)]) + "\n"


def _summary(revision: str, rows: Sequence[PageRow], known: Mapping[tuple[str, str], Mutant]) -> list[str]:
    """Return the paragraph that counts the outcomes of a revision."""
    run = [row for row in rows if row.state is not State.NOT_RUN]
    mistakes = [row for row in run if not known[revision, row.mutant].control]
    caught = sum(row.state is State.CAUGHT for row in mistakes)
    silent = sum(row.state is State.SILENT for row in run)
    waiting = len(rows) - len(run)
    return [
        f"Revision {revision} with the patch series, CPU: {caught} of the {len(mistakes)} mistakes tried are caught,"
        f" {silent} of the {len(run) - len(mistakes)} controls are not reported"
        + (f"; {waiting} of the {len(rows)} mutants have not been run yet." if waiting else "."),
        "",
    ]


def _line(row: PageRow, mutant: Mutant) -> str:
    first = _cell(row.first) if row.first else "no case"
    if row.state not in WANTED or mutant.control:
        added = f": {first}" if row.first else ""
        first = row.state.value if row.state in WANTED else f"**{row.state}**{added}"
    strongest = _cell(row.strongest) if row.strongest else ""
    files = ", ".join(f"`{Path(file).name}`" for file in mutant.patch.files)
    name = f"`{mutant.name}`" + ("" if row.revision == REVISION else f" {row.revision}")
    cells = [name, mutant.mistake, files, first, strongest, row.date]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(catch: Catch) -> str:
    number = f" {catch.error:.2g} > {catch.tolerance:g}" if catch.error is not None else ""
    return f"`{catch.case}@{catch.mode}` {catch.base}: {catch.verdict}{number}"
