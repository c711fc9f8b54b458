"""Each patch of the series: what is red without it and passes with it, and that float adapters stay as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot
from harness.cases.families import with_bases
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL, QUICK, Matrix
from harness.models.tiny_models import SD1_TINY
from harness.records import record
from harness.records.record import Cell, Observation, Records
from harness.records.verdict import Status, Verdict
from harness.running import pool
from harness.verification import own_cases
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.patching.patch_file import Fix
from sdcpp.patching.state import State, find_states
from sdcpp.source import revision
from sdcpp.source.workspace import workspace
from tests.regress.conftest import PATIENT, Find

pytestmark = PATIENT

#: The named revisions.
REVISIONS = ("2025-12", "2026-05", "2026-07")
#: Words that a prompt of 2025-12 may end in, and std::stof cannot read.
ODD = ("<lora:x:abc>", "<lora:x:1e99>")
FLOATS = ("none", "safetensors-F32", "safetensors-F16", "ckpt-F16", "gguf-F32", "gguf-F16", "gguf-BF16")
#: The two sides of a revision, whatever its first one is.
BEFORE, AFTER = "before", "after"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A case that a patch fixes on a revision."""

    patch: str
    revision: str
    fix: Fix

    def __str__(self) -> str:
        return f"{self.patch}-{self.revision}-{self.fix.case}"


def defects() -> list[Defect]:
    """Return what the patch files say that they fix on the named revisions."""
    return [
        Defect(patch=patch.name, revision=name, fix=fix)
        for patch in series.load()
        for name in patch.revisions
        if name in REVISIONS
        for fix in patch.fixes
    ]


def sides(name: str, matrix: Matrix, patterns: list[str]) -> Iterator[BuildUnderTest]:
    """Yield a revision as upstream has it, with the patch by which 2025-12 finds GGUF files, and with the series.

    On 2025-12 no GGUF file is found without that patch, and no other case could be judged.
    """
    whole = series.load()
    first = [patch for patch in whole if patch.name == "lora-find-gguf"]
    for label, patches in ((BEFORE, first), (AFTER, whole)):
        question = RunSpec(matrix=matrix, select=patterns, sides=["patched"])
        (made,) = build_sides(revision.find(name), patches, question, BlockQuantiser())
        yield dataclasses.replace(made, side=dataclasses.replace(made.side, label=f"{name} {label}"))


@pytest.fixture(scope="module")
def fixed_cells(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Cell]:
    """Return the cells of what the patches fix by side, base model, and case@mode."""
    made = []
    for name in REVISIONS:
        wanted = [defect.fix for defect in defects() if defect.revision == name]
        named = {(fix.base, fix.case) for fix in wanted}
        select = [fix.case for fix in wanted]
        # The base models of the two matrices differ.
        families = with_bases({fix.base for fix in wanted})
        for both in zip(sides(name, FULL, select), sides(name, families, select), strict=True):
            kept = [
                case
                for side in both
                for case in side.cases
                if (case.dimensions["base"], f"{case.name}@{case.dimensions['mode']}") in named
            ]
            made.append(dataclasses.replace(both[0], cases=kept))
    records = run_sides(
        made, tmp_path_factory.mktemp("fixed"), title="patches", command="nox -s tests", jobs=None
    )
    return {
        (cell.side, cell.dimensions["base"], f"{cell.case}@{cell.dimensions['mode']}"): cell
        for cell in records.cells
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


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Float adapters on both architectures, without and with the series."""
    made = [side for name in REVISIONS for side in sides(name, QUICK, list(FLOATS))]
    return run_sides(
        made, tmp_path_factory.mktemp("floats"), title="floats", command="nox -s tests", jobs=None
    )


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in REVISIONS for case in FLOATS if (name, case) != ("2026-07", "ckpt-F16")],
)
def test_float_adapters_paint_the_same_bytes(floats: Records, name: str, case: str) -> None:
    pictures = {
        (cell.dimensions["mode"], cell.side): cell.pictures["got"]
        for cell in floats.cells
        if cell.case == case and cell.side.startswith(name)
    }
    judged = [cell for cell in floats.cells if cell.verdict is not Verdict.UNSUPPORTED]
    assert all(cell.status is Status.PASS for cell in judged)
    assert len(pictures) == 6
    for mode in ("immediately", "at_runtime", "auto"):
        assert pictures[mode, f"{name} {BEFORE}"] == pictures[mode, f"{name} {AFTER}"]


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
    base = dataclasses.replace(SD1_TINY, prompt=prompt)  # the files are those of SD1_TINY
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(side.build, "cpu", [Shot(base=base, mode="at_runtime")], writer, jobs=1, threads=2)
    (observation,) = record.read(path).observations.values()
    return observation


def test_a_multiplier_that_is_no_number(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    pristine, patched = (c for c in builds_under_test if c.side.revision == "2025-12")
    plain = paint(patched, SD1_TINY.prompt, tmp_path / "plain.jsonl")
    assert plain.outcome == "picture"
    for number, words in enumerate(ODD):
        before, after = (
            paint(side, SD1_TINY.prompt + words, tmp_path / f"{number}{side.side.label}.jsonl")
            for side in (pristine, patched)
        )
        assert (before.outcome, before.signal) == ("crashed", "SIGABRT")
        assert after.picture == plain.picture
        assert any("is no number" in line for line in after.log)
