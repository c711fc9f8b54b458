"""The text of a bug report for each defect that the cases show, in the order of upstream's issue template.

The template is .github/ISSUE_TEMPLATE/bug_report.yml of leejet/stable-diffusion.cpp as of 2026-05. Cells of one side
that fail in the same way are one defect; what fails in the same way before a change is told of the side before only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.records.record import Cell, Side
from harness.records.verdict import UNTRIED, Status, Verdict
from harness.reports import before_after, builds
from harness.reports.table import ReportTable, title
from harness.reports.vocabulary import VERDICTS
from harness.text import plural
from sdcpp.source import revision

#: Reports in the file; what is more is counted.
LIMIT = 50
#: ggml's backends as the template's list has them.
_BACKENDS = {"cpu": "CPU", "cuda": "CUDA", "vulkan": "Vulkan", "metal": "Metal"}

Lines = list[str]


def render(shown: ReportTable) -> str:
    """Return all reports, the unexpected failures first, or nothing where no case fails."""
    found = defects(shown)
    if not found:
        return ""
    sides = {side.label: side for side in shown.sides}
    lines = [
        f"{plural(len(found), 'defect')}, each with a report in the order of upstream's issue template. Look first",
        "whether upstream has it already, and leave out what you have not seen yourself.",
    ]
    for cells in found[:LIMIT]:
        lines += ["", "---", "", *_report(shown, sides[cells[0].side], cells)]
    if len(found) > LIMIT:
        lines += ["", "---", "", f"{plural(len(found) - LIMIT, 'defect')} more in report.html."]
    return "\n".join(lines) + "\n"


def defects(shown: ReportTable) -> list[list[Cell]]:
    """Return the failing cells, those together that show the same on one side: verdict and evidence."""
    repeated = {
        id(found.after)
        for pair in before_after.pairs(shown)
        for found in before_after.changes(shown, pair)
        if found.before and found.after and found.before.verdict is found.after.verdict
    }
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in shown.records.cells:
        failed = cell.verdict is not Verdict.PASS and cell.verdict not in UNTRIED
        if failed and id(cell) not in repeated:
            groups.setdefault((cell.side, cell.verdict, _signature(cell)), []).append(cell)
    return sorted(groups.values(), key=lambda cells: cells[0].status is not Status.UNEXPECTED)


def _signature(cell: Cell) -> str:
    """Return the evidence without what differs from case to case: names of files and numbers."""
    first = cell.evidence.partition("\n")[0]
    return cell.reason or re.sub(r"\S+\.(?:gguf|safetensors|ckpt)|\S*gguf-\S+|[0-9.]+", "*", first)


def _report(shown: ReportTable, side: Side, cells: Sequence[Cell]) -> Lines:
    # A case that upstream's own program shows is the better one to begin with.
    cell = next((c for c in cells if c.upstream), cells[0])
    machine = shown.records.run.machine
    steps = _steps(shown, side, cell)
    return [
        f"### [Bug] {_subject(cell)}",
        "",
        *_section("Git commit", builds.commit_in_full(side) + _changed(shown, side)),
        *_section("Operating System & Version", machine.get("system", "")),
        *_section("GGML backends", _BACKENDS.get(side.backend, side.backend)),
        *_section("Command-line arguments used", _code(cell.upstream or cell.repeat)),
        *_section("Steps to reproduce", "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))),
        *_section("What you expected to happen", _wanted(cell)),
        *_section("What actually happened", _happened(shown, cells, cell)),
        *_section("Logs / error messages / stack trace", _code(cell.evidence or "none")),
        *_section("Additional context / environment details", _context(shown, side)),
    ]


def _subject(cell: Cell) -> str:
    what = {
        Verdict.ABORT: "aborts the process",
        Verdict.TIMEOUT: "hangs",
        Verdict.NO_EFFECT: "is silently ignored",
        Verdict.WRONG: "gives a wrong picture",
        Verdict.REFUSED: "is refused",
    }[cell.verdict]
    return f"LoRA case {title(cell)} {what} ({cell.dimensions.get('base', 'model')})"


def _section(name: str, text: str) -> Lines:
    return [f"#### {name}", "", text, ""]


def _code(text: str) -> str:
    return f"```\n{text}\n```"


def _changed(shown: ReportTable, side: Side) -> str:
    facts = shown.records.run.proposal.get(side.revision)
    if facts and side.patched:
        return f" ({facts['after']})"
    names = builds.patches(side)
    return f" with {', '.join(names)}" if names else ""


def _named(side: Side) -> str:
    """Return a named revision whose files are those of a side: its own, or the newest of its LoRA API."""
    known = revision.load()
    if side.revision in known:
        return side.revision
    same = [name for name, entry in known.items() if entry.lora_api == side.build.get("generation")]
    return same[-1] if same else next(reversed(known))


def _steps(shown: ReportTable, side: Side, cell: Cell) -> Lines:
    ours = f"or, without upstream's program: `{cell.repeat}`"
    if not cell.upstream:
        return [f"No command of upstream's program shows it, but this: `{cell.repeat}`"]
    program = cell.upstream.partition(" ")[0].removeprefix("./")
    files = f"sdcpp reproduce '{title(cell)}' --revision {_named(side)} --base-model {cell.dimensions.get('base', '')}"
    run = shown.records.run
    if {"verify", "--quick"} & set(run.command.split()) and not run.proposal:
        files += " --quick"
    return [
        f"`cmake -B build && cmake --build build --config Release --target {program}`",
        f"`{files}` makes the files, random models from a seed and the adapter, in the folder `reproduce`",
        "the command above, in that folder, with the program copied there",
        ours,
    ]


def _wanted(cell: Cell) -> str:
    if cell.tolerance is None:
        return f"{cell.why[:1].upper()}{cell.why[1:]}."
    return (
        "The picture that the base model makes with the adapter merged into its weights beforehand, within "
        f"{100 * cell.tolerance:.0f} % of what the adapter changes."
    )


def _happened(shown: ReportTable, cells: Sequence[Cell], cell: Cell) -> str:
    error = f" It is {100 * cell.error:.0f} % off." if cell.error is not None and cell.tolerance else ""
    others = (
        f" The same happens in {plural(len(cells), 'case')}: {shown.describe(cells)}."
        if len(cells) > 1
        else ""
    )
    return f"{VERDICTS[cell.verdict]}{error}{others}"


def _context(shown: ReportTable, side: Side) -> str:
    options = builds.text(side.build.get("options", {}))
    words = [side.device, side.driver, builds.compiler(side), f"CMake options {options}" if options else ""]
    return "; ".join([*filter(None, words), f"found by sdcpp-lora-harness {shown.records.run.project}"])
