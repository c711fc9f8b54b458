"""docs/lora-tools.md: ``sdcpp lora combine``, ``resize`` and ``extract`` beside PEFT and sd-scripts."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reports.markdown import head, row
from harness.studies.conversion.lora_tools import RANKS, WEIGHTS, Cost
from harness.studies.conversion.tool_study import PAGE, ToolStudy
from harness.text import busy
from sdcpp import atomic_write, project

#: The tables: their headings and what is done in each.
TABLES = {
    "combine": "Combined",
    "resize": "Resized",
    "extract": "Extracted",
}
_COLUMNS = ("tool", "relative error of ΔW", "seconds", "peak memory, MB", "size, MB")


def write(study: ToolStudy) -> None:
    """Write the page. Raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, text(study))


def text(study: ToolStudy) -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines(study)).rstrip() + "\n"


def _lines(study: ToolStudy) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    yield "# Combined, resized and extracted by several tools"
    yield ""
    yield from (f"- {each}" for each in _answers(study))
    yield ""
    yield f"    {study.command}"
    yield ""
    yield (
        f"{study.processor}, {study.cores} cores, {study.date}; {versions or 'no other tools'}.{busy(study.load)} Each"
        " tool runs once, in a process of its own, and the seconds include the start of Python and the imports. Other"
        " programs make them longer, so they are good for a comparison only; errors and sizes are reproducible."
    )
    for table, heading in TABLES.items():
        yield from ("", f"## {heading}", "", _question(table, study), "")
        yield from head(_COLUMNS)
        yield from map(_row, study.costs[table])
    yield ""
    yield (
        "*The best possible* is the error of the best matrices of that rank, computed with numpy. ΔW is compared in"
        " float64. sd-scripts clamps the largest hundredth of the values of the factors when it merges or extracts,"
        " which costs most of its error there. PEFT has no tool that resizes or extracts a LoRA."
    )
    yield ""
    yield (
        "This page is made from [results/lora-tools.json](../results/lora-tools.json). `sdcpp study tools --write-docs`"
        " measures and writes both; `--recorded` makes the page again. [convert.md](convert.md#resize) explains the"
        " commands."
    )


def _question(table: str, study: ToolStudy) -> str:
    layers = f"{study.layers} layers of {study.width} x {study.width}"
    return {
        "combine": f"Two LoRAs of rank {RANKS[0]} and {RANKS[1]} times {WEIGHTS[0]} and {WEIGHTS[1]}, {layers}:",
        "resize": f"A LoRA of rank {2 * study.rank} becomes one of rank {study.rank}, {layers}:",
        "extract": f"A model and the same model plus a LoRA of rank 16 and noise of a hundredth of it, {layers}:",
    }[table]


def _row(cost: Cost) -> str:
    if cost.seconds is None:
        return row([cost.tool, f"{cost.error:.4%}", "", "", ""])
    return row(
        [cost.tool, f"{cost.error:.4%}", f"{cost.seconds:.1f}", f"{cost.peak:.0f}", f"{cost.size:.2f}"]
    )


def _answers(study: ToolStudy) -> Iterator[str]:
    """Yield for each table how this project compares with the best of the other tools."""
    for table, heading in TABLES.items():
        measured = [cost for cost in study.costs[table] if cost.seconds is not None]
        ours = [cost for cost in measured if cost.tool.startswith("sdcpp")]
        theirs = [cost for cost in measured if cost not in ours and not _exact(cost)]
        short = [cost for cost in ours if not _exact(cost)]
        if not theirs or not short:
            continue
        best, fastest = (
            min(theirs, key=lambda cost: cost.error),
            min(theirs, key=lambda cost: cost.seconds or 0),
        )
        [own] = short
        yield (
            f"**{heading}** to rank {study.rank}: error {own.error:.2%} in {own.seconds:.1f} s; the best other tool has"
            f" {best.error:.2%} ({best.tool}), the fastest takes {fastest.seconds:.1f} s ({fastest.tool})."
        )


def _exact(cost: Cost) -> bool:
    """Return whether a tool keeps ΔW exactly, with more ranks."""
    return cost.error < 1e-6
