"""Measure which names of LoRAs a library understands, and keep the result in results/names.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.layers.versions import CHROMA_VERSION, VERSIONS, Version
from harness.studies.names import program
from harness.studies.names.verdict import Outcome, Question, outcome, questions
from sdcpp import atomic_write, project
from sdcpp.binding.build_folder import Build

RESULTS = project.ROOT / "results" / "names.json"
#: All versions with rows of their own.
ROWS = (*VERSIONS, CHROMA_VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The names of one trainer for one version: how many lead where, an example, and the first that leads elsewhere.

    ``version`` is the title of the version. ``wrong`` is empty if every name leads to its layer; otherwise it has a
    name, and ``leads_to`` what the library makes of it.
    """

    version: str
    trainer: str
    counts: Mapping[str, int]
    example: str
    wrong: str = ""
    leads_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The rows of one build. ``absent`` are the titles of versions that the revision does not have."""

    revision: str
    state: str
    patches: Sequence[str]
    date: str
    rows: Sequence[Row]
    absent: Sequence[str] = field(default_factory=tuple)


def measure(build: Build, numbers: Mapping[str, int], revision: str) -> Side:
    """Ask a build about every name. ``numbers`` are those of the versions in its revision."""
    asked = [question for version in ROWS if version.name in numbers for question in questions(version)]
    lines = [
        line
        for question in asked
        for number in (numbers[question.version.name],)
        for line in ((number, f"lora.{question.key}"), (number, question.model_name))
    ]
    names = program.convert(build, lines)
    pairs = list(zip(asked, names[::2], names[1::2], strict=True))
    layers: dict[str, set[str]] = {}
    for question, _, wanted in pairs:
        layers.setdefault(question.version.title, set()).add(wanted)
    known = {title: frozenset(found) for title, found in layers.items()}
    by_row: dict[tuple[str, str], list[tuple[Question, str, Outcome]]] = {}
    for question, got, wanted in pairs:
        found = outcome(question, got, wanted, known[question.version.title])
        by_row.setdefault((question.version.title, question.trainer.name), []).append((question, got, found))
    patches = [patch["name"] for patch in build.record["patches"]]
    return Side(
        revision=revision,
        state="patched" if patches else "pristine",
        patches=patches,
        date=str(build.record["date"])[:10],
        rows=[_row(title, trainer, answers) for (title, trainer), answers in by_row.items()],
        absent=[version.title for version in ROWS if version.name not in numbers],
    )


def _row(title: str, trainer: str, answers: Sequence[tuple[Question, str, Outcome]]) -> Row:
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
    )


def unlisted(numbers: Mapping[str, int], versions: Sequence[Version], others: Sequence[str]) -> list[str]:
    """Return the versions of a revision that have no row and are not among ``others``."""
    return sorted(set(numbers) - {version.name for version in versions} - set(others))


def write(sides: Sequence[Side], path: Path = RESULTS) -> Path:
    """Write sides and return the path."""
    text = json.dumps([asdict(side) for side in sides], indent=1, ensure_ascii=False)
    atomic_write.write(path, text + "\n")
    return path


def read(path: Path = RESULTS) -> list[Side]:
    """Return the sides that are kept."""
    return [
        Side(**{**side, "rows": [Row(**row) for row in side["rows"]]})
        for side in json.loads(path.read_text(encoding="utf-8"))
    ]
