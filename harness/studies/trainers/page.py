"""docs/trainers.md: what the library and the converter make of the adapters that trainers' libraries write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.reports.markdown import escape, head, row
from harness.studies.trainers.judged import MODES
from harness.studies.trainers.study import Outcome, TrainerStudy
from harness.studies.trainers.writer_peer import RANK
from harness.studies.trainers.writers import SEED, TUCKER_WRITERS, WRITERS
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "trainers.md"
#: A larger relative error of ΔW is shown in bold: float64 has 16 digits, and factors are multiplied once or twice.
EXACT = 1e-6


def write(study: TrainerStudy) -> None:
    """Write the page; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, text(study))


def text(study: TrainerStudy) -> str:
    """Return the page as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    lines = [
        "# Adapters of the trainers' own libraries",
        "",
        "The adapters of all other cases are written by this project, and numpy merges them. Here PEFT, diffusers",
        "and LyCORIS wrote the files with their own code, and the same library merged each adapter into the weights",
        "of the base model. That merge is what the library under test and the converter are judged by.",
        "",
        f"Measured on {study.date} with {study.side}, CPU; {versions}; random factors with",
        f"seed {SEED}, rank {RANK}. The layers are all linear ones that adapters change and, in a UNet, convolutions",
        "of 1x1 and 3x3, with stride 1 and 2.",
        "",
        "`nox -s trainers` installs these libraries in an environment of its own, measures again, and writes this",
        "page.",
        "",
        *tables(study),
        "## Notes",
        "",
        "- The columns of the apply modes have the verdict of the library and the effect error of its picture.",
        "- **converter** is the relative error of all ΔW in float64: the adapter is merged as `sdcpp lora merge` does,",
        "  from the file itself and from its conversion to GGUF as F32; the larger error counts.",
        "- PEFT and diffusers store alpha, ranks and use_rslora not as tensors but in adapter_config.json or in the",
        "  metadata of the file. The library reads neither, so the change has another strength. `sdcpp lora convert`",
        "  writes the tensors of alpha.",
        "- LyCORIS 4.1 merges LoHa and LoKr with the square of alpha / rank, but trains with alpha / rank. Its merge",
        "  is a reference for these kinds only where alpha equals the rank.",
        *_notes(study),
    ]
    return "\n".join(lines).rstrip() + "\n"


def tables(study: TrainerStudy) -> Iterator[str]:
    """Yield a section for each base model."""
    for base in dict.fromkeys(outcome.base for outcome in study.outcomes):
        yield from (f"## {base}", "", *table([o for o in study.outcomes if o.base == base]), "")


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of the table of a base model, a row for each writer."""
    yield from head(["writer", "what it writes", *(mode.replace("_", " ") for mode in MODES), "converter"])
    for outcome in outcomes:
        yield _row(outcome)


def _row(outcome: Outcome) -> str:
    cells = [outcome.writer, {**WRITERS, **TUCKER_WRITERS}.get(outcome.writer, "")]
    if outcome.failure:
        return row([*cells, *("not written" for _ in MODES), "not written"])
    return row([*cells, *(_verdict(outcome, mode) for mode in MODES), _converter(outcome)])


def _verdict(outcome: Outcome, mode: str) -> str:
    verdict, error = outcome.verdicts.get(mode, "not run"), outcome.errors.get(mode)
    shown = f"{verdict} {error:.1%}" if error is not None else verdict
    return shown if verdict == "PASS" else f"**{shown}**"


def _converter(outcome: Outcome) -> str:
    if outcome.converter is None:
        return "**refused**"
    return f"{outcome.converter:.1e}" if outcome.converter <= EXACT else f"**{outcome.converter:.1e}**"


def _notes(study: TrainerStudy) -> Iterator[str]:
    """Yield what the libraries and the converter said where they made nothing."""
    for outcome in study.outcomes:
        if outcome.failure:
            yield f"- {outcome.writer} was not written for {outcome.base}: {escape(outcome.failure)}"
        elif outcome.refusal:
            yield f"- The converter refuses {outcome.writer} for {outcome.base}: {escape(outcome.refusal)}"
