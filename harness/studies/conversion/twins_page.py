"""docs/twins.md: which failing cells of unpatched revisions pass with the file that ``lora convert --for`` makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.records import record
from harness.records.record import Cell, Records
from harness.records.verdict import Verdict
from harness.reports.markdown import escape, head, row
from harness.studies.conversion import twins
from harness.text import plural
from sdcpp import atomic_write, project
from sdcpp.errors import NothingTried

PAGE = project.ROOT / "docs" / "twins.md"
FOLDER = project.ROOT / "results" / "twins"


def recorded() -> list[Records]:
    """Return the runs in results/twins/, the newest first. Raises NothingTried if there are none."""
    found = [record.read(path) for path in sorted(FOLDER.glob("*.jsonl*"))]
    if not found:
        raise NothingTried("no run of the twins is recorded", FOLDER, "put the twins.jsonl of a run there")
    return sorted(found, key=lambda records: records.run.started, reverse=True)


def write(found: Sequence[Records]) -> None:
    """Write the page."""
    atomic_write.write(PAGE, text(found))


def text(found: Sequence[Records]) -> str:
    """Return the page as Markdown."""
    cells = _newest(found)
    lines = [
        "# Twins: files made for a library without patches",
        "",
        "A twin is the case of a cell that fails without patches, with the file that",
        "`sdcpp lora convert --for REVISION` makes of its adapter. Its picture must be that of the adapter merged",
        "beforehand.",
        "`sdcpp study twins --revision REVISION` runs them, and `sdcpp study twins --recorded --write-docs` makes this",
        "page of the records in [results/twins](../results/twins).",
        "",
        _headline(cells),
        "",
        *table(found),
        *_failures(cells),
        *_reasons(cells),
        "",
        "## Runs",
        "",
        *head(["command", "day", "processor", "cores"]),
        *(_run(records) for records in found),
    ]
    return "\n".join(lines) + "\n"


def table(found: Sequence[Records]) -> Iterator[str]:
    """Yield the lines of the table, a row for each revision, backend and base model."""
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in _newest(found):
        rows.setdefault((cell.side.removesuffix(" pristine"), cell.dimensions["base"]), []).append(cell)
    yield from head(["revision", "base model", "twins", "passed", "no twin"])
    for (side, base), cells in sorted(rows.items()):
        without = sum(bool(twins.reason(cell)) for cell in cells)
        count = len(cells) - without
        passed = count - len(twins.failed(cells))
        yield row([side, base, str(count), str(passed) if passed == count else f"**{passed}**", str(without)])


def _newest(found: Iterable[Records]) -> list[Cell]:
    """Return each cell of the newest run that has it."""
    cells: dict[tuple[str, ...], Cell] = {}
    for records in found:
        for cell in records.cells:
            cells.setdefault((cell.side, cell.dimensions["base"], cell.case, cell.dimensions["mode"]), cell)
    return list(cells.values())


def _headline(cells: Sequence[Cell]) -> str:
    ran = [cell for cell in cells if not twins.reason(cell)]
    passed = sum(cell.verdict is Verdict.PASS for cell in ran)
    return f"**{passed} of {plural(len(ran), 'twin')} passed.**"


def _failures(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the table of the twins that do not pass, if there are any."""
    bad = twins.failed(cells)
    if bad:
        yield from ("", "## Twins that fail", "")
        yield from head(["revision", "base model", "case", "verdict", "what the library says"])
        for cell in bad:
            side = cell.side.removesuffix(" pristine")
            name = f"`{cell.case}@{cell.dimensions['mode']}`"
            said = cell.evidence.partition("\n")[0]
            yield row([side, cell.dimensions["base"], name, str(cell.verdict), escape(said)])


def _reasons(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the table of the reasons why cells have no twin, if there are any."""
    counts = Counter(
        (cell.side.removesuffix(" pristine"), why) for cell in cells if (why := twins.reason(cell))
    )
    if counts:
        yield from ("", "## Failing cells without a twin", "")
        yield from head(["revision", "cells", "reason"])
    for (side, why), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        yield row([side, str(count), escape(why)])


def _run(records: Records) -> str:
    machine = records.run.machine
    return row([f"`{records.run.command}`", records.run.started[:10], machine["processor"], machine["cores"]])
