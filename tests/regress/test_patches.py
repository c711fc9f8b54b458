"""Each patch of the series: what is red without it and passes with it, and that float adapters stay as they were."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, RecordedPicture, Shot
from harness.cases.families import with_bases
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import FULL, Matrix
from harness.models.families.catalogue import FAMILIES
from harness.models.tiny_models import SD1_THIN
from harness.records import record
from harness.records.record import Cell, Observation, Records
from harness.records.verdict import Status, Verdict
from harness.running import pool
from harness.verification import own_cases
from harness.verification.run import run_sides
from sdcpp.patching import series
from sdcpp.patching.patch_file import Fix
from sdcpp.patching.state import State, find_states
from sdcpp.source import revision
from sdcpp.source.workspace import workspace
from tests.regress.conftest import BEFORE, FLOATS, PATIENT, Find, built_side, finding_gguf

pytestmark = PATIENT

#: The named revisions.
REVISIONS = ("2025-12", "2026-05", "2026-07")
#: Words that a prompt of 2025-12 may end in, and std::stof cannot read.
ODD = ("<lora:x:abc>", "<lora:x:1e99>")
#: The side with the series.
AFTER = "after"
#: Whether the fixes are tested on every revision that a patch is for, and on the base models of other families. `nox -s
#: patches` sets it; it takes several times as long.
EVERY_REVISION = bool(os.environ.get("SDCPP_EVERY_REVISION"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A case that a patch fixes on a revision."""

    patch: str
    revision: str
    fix: Fix

    def __str__(self) -> str:
        return f"{self.patch}-{self.revision}-{self.fix.case}"


def defects() -> list[Defect]:
    """Return what the patch files say that they fix.

    If not all are wanted, these are the fixes on the newest named revision of each patch, on the base models of the
    full matrix. What the patches do to the names of other families is tested in test_names.py and test_families.py, and
    that the records show their fixes in tests/unit/records/test_recorded_fixes.py.
    """
    found = [
        Defect(patch=patch.name, revision=name, fix=fix)
        for patch in series.load()
        for name in patch.revisions
        if name in REVISIONS
        for fix in patch.fixes
    ]
    newest = {defect.patch: defect.revision for defect in sorted(found, key=lambda d: d.revision)}
    return [
        defect
        for defect in found
        if EVERY_REVISION or (defect.revision == newest[defect.patch] and defect.fix.base not in FAMILIES)
    ]


def sides(name: str, matrix: Matrix, patterns: list[str]) -> list[BuildUnderTest]:
    """Build a revision with the patch by which 2025-12 finds GGUF files, and with the series.

    On 2025-12 no GGUF file is found without that patch, and no other case could be judged. For the other revisions that
    patch is not made, so they are as upstream has them.
    """
    both = {BEFORE: finding_gguf(), AFTER: series.load()}
    return [built_side(name, label, patches, matrix, patterns) for label, patches in both.items()]


def with_known_picture(
    case: Case | MalformedFileCase, build: str, records: Records
) -> Case | MalformedFileCase:
    """Return a case whose wanted picture is the one that another build made: there is no adapter in it."""
    if not isinstance(case, Case) or case.wanted is None:
        return case
    picture = records.observations[build, case.wanted.name].picture
    assert picture is not None, case.wanted.name
    known = RecordedPicture(digest=picture, pixels=records.pictures[picture])
    return dataclasses.replace(case, wanted=None, recorded=known)


@pytest.fixture(scope="module")
def fixed_cells(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Cell]:
    """Return the cells of what the patches fix by side, base model, and case@mode."""
    made: dict[str, list[BuildUnderTest]] = {BEFORE: [], AFTER: []}
    for name in dict.fromkeys(defect.revision for defect in defects()):
        wanted = [defect.fix for defect in defects() if defect.revision == name]
        named = {(fix.base, fix.case) for fix in wanted}
        select = [fix.case for fix in wanted]
        # The base models of the two matrices differ.
        families = with_bases({fix.base for fix in wanted})
        for builds, *both in zip(
            made.values(), sides(name, FULL, select), sides(name, families, select), strict=True
        ):
            kept = [
                case
                for each in both
                for case in each.cases
                if (case.dimensions["base"], f"{case.name}@{case.dimensions['mode']}") in named
            ]
            builds.append(dataclasses.replace(both[0], cases=kept))

    def run(label: str) -> Records:
        folder = tmp_path_factory.mktemp(label)
        return run_sides(made[label], folder, title="patches", command="nox -s tests", jobs=None)

    before = run(BEFORE)
    made[AFTER] = [
        dataclasses.replace(
            after, cases=[with_known_picture(case, first.side.identity, before) for case in after.cases]
        )
        for first, after in zip(made[BEFORE], made[AFTER], strict=True)
    ]
    return {
        (cell.side, cell.dimensions["base"], f"{cell.case}@{cell.dimensions['mode']}"): cell
        for cell in (*before.cells, *run(AFTER).cells)
    }


@pytest.mark.parametrize("defect", defects(), ids=str)
def test_red_without_and_right_with_the_series(
    fixed_cells: dict[tuple[str, str, str], Cell], defect: Defect
) -> None:
    before, after = (
        fixed_cells[f"{defect.revision} {side}", defect.fix.base, defect.fix.case] for side in (BEFORE, AFTER)
    )
    assert str(before.verdict) == defect.fix.verdict, before.evidence
    assert after.verdict is Verdict.PASS, after.evidence


def test_on_another_source_a_patch_is_needed_only_if_its_case_fails(tmp_path: Path) -> None:
    # The forms for 2026-05 alone, so that 2026-07 is a source that they were not written for.
    given_twice, rank_one = (
        next(form for form in series.forms(name) if form.revisions == ("2026-05",))
        for name in ("lora-given-twice", "lora-rank-one")
    )
    wanted = revision.find("2026-07")
    found = find_states(workspace(wanted), [given_twice, rank_one])
    superfluous, needed = own_cases.needs(wanted, [given_twice, rank_one], found, tmp_path)
    assert (superfluous.state, superfluous.detail) == (State.NOT_NEEDED, "its case passes without it")
    assert needed.state is found[1].state is not State.NOT_NEEDED
    assert needed.detail.startswith("without it: lora-r1-safetensors-F32@at_runtime NO_EFFECT")


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in REVISIONS for case in FLOATS if (name, case) != ("2026-07", "ckpt-F16")],
)
def test_float_adapters_paint_the_same_bytes(cell: Find, name: str, case: str) -> None:
    labels = BEFORE if name == "2025-12" else "pristine", "patched"
    for mode in ("immediately", "at_runtime", "auto"):
        before, after = (cell(f"{name} {label}", case, mode) for label in labels)
        assert before.status is after.status is Status.PASS
        assert before.pictures["got"] == after.pictures["got"]


@pytest.mark.parametrize("mode", ["immediately", "at_runtime", "auto"])
@pytest.mark.parametrize(
    "case", [("2026-05", "gguf-Q8_0"), ("2026-05", "gguf-Q4_0"), ("2025-12", "gguf-Q8_0")], ids="-".join
)
def test_quantised_loras_work_in_every_mode(cell: Find, case: tuple[str, str], mode: str) -> None:
    found = cell(f"{case[0]} patched", case[1], mode)
    assert found.verdict is Verdict.PASS, found.evidence
    assert found.error is not None
    assert found.error < (0.04 if mode == "at_runtime" else 0.02)


def paint(side: BuildUnderTest, prompt: str, path: Path) -> Observation:
    base = dataclasses.replace(SD1_THIN, prompt=prompt)  # the files are those of SD1_THIN
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(side.build, "cpu", [Shot(base=base, mode="at_runtime")], writer, jobs=1, threads=2)
    (observation,) = record.read(path).observations.values()
    return observation


def test_a_multiplier_that_is_no_number(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    pristine, patched = (c for c in builds_under_test if c.side.revision == "2025-12")
    plain = paint(patched, SD1_THIN.prompt, tmp_path / "plain.jsonl")
    assert plain.outcome == "picture"
    for number, words in enumerate(ODD):
        before, after = (
            paint(side, SD1_THIN.prompt + words, tmp_path / f"{number}{side.side.label}.jsonl")
            for side in (pristine, patched)
        )
        assert (before.outcome, before.signal) == ("crashed", "SIGABRT")
        assert after.picture == plain.picture
        assert any("is no number" in line for line in after.log)
