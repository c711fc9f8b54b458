"""Bug reports for the defects that the cases show, with the sections of upstream's issue template.

The template is .github/ISSUE_TEMPLATE/bug_report.yml of leejet/stable-diffusion.cpp as of 2026-05. Cells of one side
that fail in the same way are one defect. A defect that both sides of a pair show is reported once, for the side
before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.records.record import Cell, Run, Side
from harness.records.verdict import NOT_JUDGED, Status, Verdict
from harness.reports import before_after, builds
from harness.reports.table import ReportTable, case_id
from harness.reports.vocabulary import VERDICTS
from harness.text import plural
from sdcpp.printable import printable
from sdcpp.source import revision

#: The largest number of bug reports in the file.
LIMIT = 50
#: The names of ggml's backends in the template.
_BACKENDS = {"cpu": "CPU", "cuda": "CUDA", "vulkan": "Vulkan", "metal": "Metal"}

Lines = list[str]


def render(table: ReportTable) -> str:
    """Return all bug reports, those of unexpected failures first, or "" if no case fails."""
    found = defects(table)
    if not found:
        return ""
    sides = {side.label: side for side in table.sides}
    lines = [
        f"{plural(len(found), 'defect')}, each with a bug report that has the sections of upstream's issue template.",
        "Before you submit one, check whether upstream has the issue already, and remove what you have not seen",
        "yourself.",
    ]
    for cells in found[:LIMIT]:
        lines += ["", "---", "", *_report(table, sides[cells[0].side], cells)]
    if len(found) > LIMIT:
        lines += ["", "---", "", f"{plural(len(found) - LIMIT, 'more defect')} in report.html."]
    return "\n".join(lines) + "\n"


def defects(table: ReportTable) -> list[list[Cell]]:
    """Return the failing cells, grouped by side, verdict and evidence. Unexpected failures come first."""
    repeated = {
        id(change.after)
        for pair in before_after.pairs(table)
        for change in before_after.changes(table, pair)
        if change.before and change.after and change.before.verdict is change.after.verdict
    }
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in table.records.cells:
        failed = cell.verdict is not Verdict.PASS and cell.verdict not in NOT_JUDGED
        if failed and id(cell) not in repeated:
            groups.setdefault((cell.side, cell.verdict, _signature(cell)), []).append(cell)
    return sorted(groups.values(), key=lambda cells: cells[0].status is not Status.UNEXPECTED)


def _signature(cell: Cell) -> str:
    """Return the reason, or else the evidence without file names and numbers, which differ from case to case."""
    first_line = cell.evidence.partition("\n")[0]
    return cell.reason or re.sub(r"\S+\.(?:gguf|safetensors|ckpt)|\S*gguf-\S+|[0-9.]+", "*", first_line)


def _report(table: ReportTable, side: Side, cells: Sequence[Cell]) -> Lines:
    # Prefer a case that upstream's own program can reproduce.
    cell = next((c for c in cells if c.upstream), cells[0])
    machine = table.records.run.machine
    steps = _steps(table, side, cell)
    return [
        f"### [Bug] {_subject(cell)}",
        "",
        *_section("Git commit", builds.commit(side) + _changes(table, side)),
        *_section("Operating System & Version", machine.get("system", "")),
        *_section("GGML backends", _BACKENDS.get(side.backend, side.backend)),
        *_section("Command-line arguments used", _code(cell.upstream or cell.repeat)),
        *_section("Steps to reproduce", "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))),
        *_section("What you expected to happen", _wanted(cell)),
        *_section("What actually happened", _happened(table, cells, cell)),
        *_section("Logs / error messages / stack trace", _code(cell.evidence or "none")),
        *_section("Additional context / environment details", _context(table, side)),
    ]


def _subject(cell: Cell) -> str:
    effect = {
        Verdict.ABORT: "aborts the process",
        Verdict.TIMEOUT: "hangs",
        Verdict.NO_EFFECT: "is silently ignored",
        Verdict.WRONG: "gives a wrong picture",
        Verdict.REFUSED: "is refused",
    }[cell.verdict]
    return f"LoRA case {case_id(cell)} {effect} ({cell.dimensions.get('base', 'model')})"


def _section(name: str, text: str) -> Lines:
    return [f"#### {name}", "", text, ""]


def _code(text: str) -> str:
    """Return a block of code with any text, for example a library's log, which may contain a fence itself."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, printable(text, "\n\t"), fence])


def _changes(table: ReportTable, side: Side) -> str:
    """Return how a side differs from upstream's commit: the proposed change or the patches, in words."""
    facts = table.records.run.proposal.get(side.revision)
    if facts and side.patched:
        return f" ({facts['after']})"
    names = builds.patches(side)
    return f" with {', '.join(names)}" if names else ""


def _revision(side: Side) -> str:
    """Return the named revision whose test files a side needs: its own, or the newest with the same LoRA API."""
    known = revision.load()
    if side.revision in known:
        return side.revision
    same_api = [name for name, entry in known.items() if entry.lora_api == side.build.get("generation")]
    return same_api[-1] if same_api else next(reversed(known))


def _steps(table: ReportTable, side: Side, cell: Cell) -> Lines:
    if not cell.upstream:
        return [f"Upstream's program cannot reproduce it. Run `{cell.repeat}`."]
    program = cell.upstream.partition(" ")[0].removeprefix("./")
    build = f"Build the program: `cmake -B build && cmake --build build --config Release --target {program}`."
    alone = f"Without upstream's program: `{cell.repeat}`."
    if "--corpus" in table.records.run.command.split():
        return [
            build,
            "Copy the program, the files of the model, and the adapter under the name that the command above gives it "
            "into a folder, and run the command there.",
            alone,
        ]
    base = cell.dimensions.get("base", "")
    files = f"sdcpp reproduce '{case_id(cell)}' --revision {_revision(side)} --base-model {base}"
    if _ran_quick_matrix(table.records.run):
        files += " --matrix quick"
    return [
        build,
        f"Create the random model and the adapter in the folder `reproduce`: `{files}`.",
        "Copy the program into that folder and run the command above there.",
        alone,
    ]


def _ran_quick_matrix(run: Run) -> bool:
    """Tell whether the cases of a run are those of ``verify --matrix quick``, which is the default of ``verify``."""
    words = set(run.command.split())
    return not run.proposal and ("quick" in words or ("verify" in words and "--matrix" not in words))


def _wanted(cell: Cell) -> str:
    if cell.tolerance is None:
        return f"{cell.why[:1].upper()}{cell.why[1:]}."
    return (
        "The same picture as from a base model with the adapter merged into its weights beforehand. The difference may "
        f"be up to {100 * cell.tolerance:.0f} % of what the adapter changes."
    )


def _happened(table: ReportTable, cells: Sequence[Cell], cell: Cell) -> str:
    error = (
        f" The difference is {100 * cell.error:.0f} %." if cell.error is not None and cell.tolerance else ""
    )
    others = (
        f" {plural(len(cells), 'case')} fail in this way: {table.describe(cells)}." if len(cells) > 1 else ""
    )
    return f"{VERDICTS[cell.verdict]}{error}{others}"


def _context(table: ReportTable, side: Side) -> str:
    options = builds.value_text(side.build.get("options", {}))
    parts = [
        side.device,
        side.driver,
        builds.compiler(side),
        f"CMake options {options}" if options else "",
        f"found by sdcpp-lora-harness {table.records.run.project}",
    ]
    return "; ".join(filter(None, parts))
