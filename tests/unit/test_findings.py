"""docs/findings.md: its table says what the sections, the expectations, the patches and the history say."""

from __future__ import annotations

import argparse
import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cases.case import MODES, AnyCase, select
from harness.cases.families import FAMILIES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.studies.history.defects import KNOWN
from sdcpp import project
from sdcpp.patching import series
from tests.unit.pages import anchor, read

PAGE = project.ROOT / "docs" / "findings.md"
NEWEST = "2026-07"
GENERATIONS = {"2025-12": "B", "2026-05": "C", "2026-07": "C"}
#: Sections that explain, and are about no defect of their own.
EXPLANATIONS = {
    "is-a-gguf-adapter-compatible-with-a-quantised-main-model",
    "cpu-quantised-adapters-abort",
    "vulkan-f16-where-the-cpu-has-f32",
}
#: Defects whose first and last release the history tells, with the words of harness/studies/history/defects.py.
OF_HISTORY = {
    "a-gguf-lora-is-not-found": "a GGUF LoRA is not found",
    "every-quantised-type-aborts-when-applied-immediately": "a quantised GGUF LoRA aborts on the CPU",
    "an-adapter-applied-at-run-time-stays-in-the-next-picture": "an adapter stays in the next picture at run time",
    "the-alpha-of-a-file-of-pefts-names-is-not-found": "the alpha of a file of PEFT's names is not found",
    "a-bf16-alpha-aborts": "a BF16 alpha aborts",
}
#: Defects without a case of the matrix: of old releases, and of a commit of upstream that is no named revision.
WITHOUT_CASE = {
    "closing-a-context-ends-the-process",
    "the-alpha-of-a-file-of-pefts-names-is-not-found",
    "cuda-quantised-adapters-on-newer-code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table of defects."""

    section: str
    places: tuple[tuple[str, str], ...]
    since: str
    newest: str
    patches: tuple[str, ...]
    command: str


def parsed(line: str) -> Row:
    symptom, places, since, newest, patches, command = (
        cell.strip() for cell in line.strip("|\n ").split(" | ")
    )
    found = []
    for part in places.split("; "):
        file, _, functions = part.partition(": ")
        found += [(file.strip("`"), function.strip("`")) for function in functions.split(", ")]
    link = re.fullmatch(r"\[.+\]\(#(.+)\)", symptom)
    assert link, symptom
    return Row(
        section=link[1],
        places=tuple(found),
        since=since,
        newest=newest,
        patches=tuple(re.findall(r"\(\.\./patches/([\w-]+)\)", patches)),
        command=command.strip("`"),
    )


TEXT = read(PAGE)
ROWS = [parsed(line) for line in TEXT.partition("\n## ")[0].splitlines() if line.startswith("| [")]
SECTIONS = dict(re.findall(r"^### (.+)\n((?:(?!^##).*\n?)*)", TEXT, re.M))
BODIES = {anchor(heading): body for heading, body in SECTIONS.items()}


@functools.cache
def cases(matrix: str, revision: str) -> list[AnyCase]:
    blocks = dict.fromkeys(("Q4_K", "Q6_K", "TQ1_0", "TQ2_0"), 256) | {"Q8_0": 32, "NVFP4": 64}
    chosen = {"full": FULL, "families": FAMILIES}[matrix]
    return list(chosen.cases(GENERATIONS[revision], MODES, BlockQuantiser(types=blocks)))


@functools.cache
def expectations() -> list[Expectation]:
    return expectation.load()


def section(entry: Expectation) -> str:
    """Return the anchor of the section that the reason of an expectation names."""
    found = re.search(r"\(docs/findings\.md: (.+)\)$", entry.reason)
    assert found, entry.reason
    return anchor(found[1])


def options(command: str) -> argparse.Namespace:
    """Return the options of a command of the table."""
    parser = argparse.ArgumentParser()
    for name in ("--matrix", "--revision"):
        parser.add_argument(name, required=True)
    state = parser.add_mutually_exclusive_group(required=True)
    state.add_argument("--side")
    state.add_argument("--patch", nargs="+", type=Path, default=[])
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--where", action="append", default=[])
    words = shlex.split(command)
    assert words[:2] == ["sdcpp", "verify"]
    return parser.parse_args(words[2:])


def test_each_section_about_a_defect_has_one_row() -> None:
    assert sorted(row.section for row in ROWS) == sorted(set(BODIES) - EXPLANATIONS)
    assert f"{len(ROWS)} of valid files" in TEXT


def test_each_section_that_an_expectation_names_exists() -> None:
    assert {section(entry) for entry in expectations()} <= {*BODIES, "broken-files"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.section not in WITHOUT_CASE], ids=lambda row: row.section
)
def test_the_command_runs_cases_that_fail_for_this_reason(row: Row) -> None:
    given = options(row.command)
    known = cases(given.matrix, given.revision)
    chosen = select(
        known, given.case, [(key, value) for key, _, value in (w.partition("=") for w in given.where)]
    )
    assert chosen
    patches = series.names() if given.side == "patched" else [path.parent.name for path in given.patch]
    found = [
        expectation.first_match(
            expectations(),
            patches=patches,
            revision=given.revision,
            backend=given.backend,
            case=case.name,
            dimensions=case.dimensions,
        )
        for case in chosen
        if case.dimensions.get("container") != "none"
    ]
    entries = [entry for entry in found if entry]
    assert len(entries) == len(found) > 0
    assert {section(entry) for entry in entries} == {row.section}
    assert {entry.without_patch for entry in entries} - {""} <= set(row.patches)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.section)
def test_the_row_names_the_revisions_of_the_expectations_and_of_the_history(row: Row) -> None:
    of_section = [entry for entry in expectations() if section(entry) == row.section]
    if row.section in OF_HISTORY:
        [defect] = [each for each in KNOWN if each.what.partition(" (")[0] == OF_HISTORY[row.section]]
        ends = dict.fromkeys((defect.first, *([defect.last] if defect.last else [])))
        assert row.since == " to ".join(ends)
    elif of_section:
        assert row.since == min(revision for entry in of_section for revision in entry.revisions)
    if of_section:
        has = any(NEWEST in entry.revisions for entry in of_section)
        assert row.newest == "yes" if has else row.newest in {"no", "no ckpt reader"}
        assert has or row.newest == ("no ckpt reader" if "ckpt" in row.command else "no")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.section)
def test_the_patches_change_the_file_and_the_section_or_a_patch_names_the_function(row: Row) -> None:
    forms = [form for name in row.patches for form in series.forms(name)]
    changed = {file.rpartition("/")[2] for form in forms for file in form.files}
    texts = [
        BODIES[row.section],
        *(form.mail.decode() + form.notes for form in forms),
    ]
    for file, function in row.places:
        assert not forms or file in changed or file in BODIES[row.section], file
        assert any(function in text for text in texts), function
