"""The page docs/promises.md: what the project promises, area by area, and the figures of the last measurement.

Every figure is read from the records in results/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.reports.markdown import code, escape, head, row
from harness.studies import benchmark, promised_figures
from harness.studies.promised_figures import Figure
from harness.text import one_line
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "promises.md"
COMMAND = "sdcpp study promises --write-docs"
#: The folder with the records.
RESULTS = project.ROOT / "results"
_INTRODUCTION = f"""\
# What the project promises, and what was measured last

`{COMMAND}` makes this page from the records in [results/](../results). Nobody types a figure.
A promise that its last measurement does not keep is marked in bold.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the project promises in one area, with its measurements and the page that has more."""

    area: str
    promise: str
    details: str
    figures: Sequence[Figure]


def write() -> Path:
    """Write the page and return its path; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, text())
    return PAGE


def text(folder: Path = RESULTS) -> str:
    """Return the page as Markdown, from the records in ``folder``."""
    found = promises(folder)
    sections = [_INTRODUCTION, *_overview(found), ""]
    for promise in found:
        sections += [
            f"## {promise.area}",
            "",
            f"{promise.promise} See [{promise.details}]({promise.details}).",
            "",
        ]
        sections += [
            *head(["what", "last measured", "when", "where", "command"]),
            *map(_row, promise.figures),
            "",
        ]
    return "\n".join(sections).rstrip() + "\n"


def promises(folder: Path) -> list[Promise]:
    """Return all promises with what is recorded in ``folder``."""
    return [
        Promise(
            area="LoRA files on the named revisions",
            promise="With the patches every LoRA that can be judged gives the picture of a base model into which it "
            "was merged beforehand, or fails as an expectation with a reason says; nothing fails unexpectedly.",
            details="support.md",
            figures=tuple(
                promised_figures.patched(
                    [*sorted((folder / "cpu").glob("*.jsonl*")), *sorted(folder.glob("*.jsonl*"))]
                )
            ),
        ),
        Promise(
            area="Other model families",
            promise="The same for small models of other families.",
            details="names.md",
            figures=tuple(promised_figures.patched(sorted((folder / "families").glob("*.jsonl*")))),
        ),
        Promise(
            area="Names of trainers",
            promise="With the patches every name that a trainer gives a layer leads to that layer.",
            details="names.md",
            figures=tuple(promised_figures.names(folder / "names.json")),
        ),
        Promise(
            area="Adapters that trainers write",
            promise="An adapter as PEFT, diffusers or LyCORIS writes it gives the picture of that library's own merge, "
            "and `sdcpp lora convert` changes nothing of it.",
            details="trainers.md",
            figures=tuple(promised_figures.trainers(folder / "trainers.json")),
        ),
        Promise(
            area="Files for libraries without patches",
            promise="Where a LoRA fails only because of its file, the file that `sdcpp lora convert --for` makes of it "
            "passes without patches.",
            details="twins.md",
            figures=tuple(promised_figures.twins(folder / "twins")),
        ),
        Promise(
            area="Models of real size",
            promise="With the patches a LoRA also works on models of real size.",
            details="real-models.md",
            figures=tuple(promised_figures.real_models(folder / "real-models.json")),
        ),
        Promise(
            area="What a LoRA costs",
            promise="With the patches applying a LoRA costs no more than its goals.",
            details="cost.md",
            figures=tuple(promised_figures.applying(folder / "cost.json")),
        ),
        Promise(
            area="The cases reach the LoRA path",
            promise="The cases run the share of lines and branches that is the goal of each part.",
            details="coverage.md",
            figures=tuple(promised_figures.coverage(folder / "coverage.json")),
        ),
        Promise(
            area="The cases notice mistakes",
            promise="Each mistake that is written into the library is caught, and changes without effect are not "
            "reported.",
            details="mutants.md",
            figures=tuple(promised_figures.mutants(folder / "mutants.json")),
        ),
        Promise(
            area="Speed",
            promise=f"The harness runs {benchmark.GOAL:.0f} times as many cases a minute as upstream's program, and "
            "its commands take no longer than their goals.",
            details="benchmark.md",
            figures=tuple(promised_figures.speed(folder)),
        ),
    ]


def _overview(found: Sequence[Promise]) -> Iterator[str]:
    """Yield the table of all areas: how many figures keep the promise."""
    yield from head(["area", "figures that keep the promise"])
    for promise in found:
        kept, count = sum(figure.kept for figure in promise.figures), len(promise.figures)
        shown = f"{kept} of {count}"
        place = promise.area.lower().replace(" ", "-")
        yield row([f"[{promise.area}](#{place})", shown if kept == count else f"**{shown}**"])


def _row(figure: Figure) -> str:
    shown = escape(figure.text) if figure.kept else f"**{escape(figure.text)}**"
    machine = escape(one_line(figure.machine))
    return row([escape(figure.subject), shown, figure.date or "–", machine or "–", code(figure.command)])
