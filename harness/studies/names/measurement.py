"""Measure which names of LoRAs a library understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from harness.layers.components import DIFFUSION
from harness.layers.versions import NOT_A_BASE, ROWS
from harness.records.understood_names import NamesOfBuild, Row
from harness.studies.names import program
from harness.studies.names.verdict import Outcome, Question, outcome, questions
from sdcpp.binding.build_folder import Build

#: A name of an adapter, what the library makes of it, and what that means.
_Answer = tuple[Question, str, Outcome]


def measure(build: Build, numbers: Mapping[str, int], revision: str) -> NamesOfBuild:
    """Ask a build about every name. ``numbers`` are those of the versions in its revision."""
    asked = [question for version in ROWS if version.name in numbers for question in questions(version)]
    lines = []
    for question in asked:
        number = numbers[question.version.name]
        lines += [(number, f"lora.{question.key}"), (number, question.model_name)]
    names = program.convert(build, lines)
    pairs = list(zip(asked, names[::2], names[1::2], strict=True))
    layers: dict[str, set[str]] = {}
    for question, _, wanted in pairs:
        layers.setdefault(question.version.title, set()).add(wanted)
    known = {title: frozenset(found) for title, found in layers.items()}
    by_row: dict[tuple[str, str, str], list[_Answer]] = {}
    for question, got, wanted in pairs:
        found = outcome(question, got, wanted, known[question.version.title])
        text_encoder = "" if question.component == DIFFUSION else question.component
        key = question.version.title, question.trainer.name, text_encoder
        by_row.setdefault(key, []).append((question, got, found))
    return NamesOfBuild(
        revision=revision,
        state="patched" if build.record["patches"] else "pristine",
        date=str(build.record["date"])[:10],
        rows=[_row(*key, answers) for key, answers in by_row.items()],
        absent=[version.title for version in ROWS if version.name not in numbers],
    )


def _row(title: str, trainer: str, text_encoder: str, answers: Sequence[_Answer]) -> Row:
    counts = Counter(str(found) for _, _, found in answers)
    wrong, leads_to = next(
        ((question.key, got) for question, got, found in answers if found is not Outcome.RIGHT), ("", "")
    )
    return Row(
        version=title,
        trainer=trainer,
        counts=dict(sorted(counts.items())),
        example=answers[0][0].key,
        wrong=wrong,
        leads_to=leads_to,
        text_encoder=text_encoder,
    )


def without_row(numbers: Iterable[str]) -> list[str]:
    """Return the versions of a revision that ``harness.layers.versions`` lacks, by their names."""
    return sorted(set(numbers) - {version.name for version in ROWS} - set(NOT_A_BASE))
