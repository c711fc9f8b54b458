"""What a change is, told before anything is built, and how cells stand that are compared with a side before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.judging.judgement import judge
from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.verification import proposal
from harness.verification.run import run_sides
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried, PatchConflict
from sdcpp.patching import patch_file
from sdcpp.source.revision import Revision
from tests.unit import git_repositories, killable_run

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def revision(tmp_path: Path) -> Revision:
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads")
    return git_repositories.revision(origin, tag="master-1-abc")


def a_patch(folder: Path, old: str, new: str) -> patch_file.Patch:
    """Return a patch of a line in the stand-in for upstream."""
    path = folder / f"{new.replace(' ', '-')}.patch"
    lines = [f"-{old}", f"+{new}"]
    head = "--- a/stable-diffusion.cpp\n+++ b/stable-diffusion.cpp\n@@ -29,3 +29,3 @@\n line 29\n"
    path.write_text(head + "\n".join(lines) + "\n line 31\n")
    return patch_file.read(path)


def test_patches_are_told_by_name_and_by_what_they_touch(revision: Revision, tmp_path: Path) -> None:
    found = proposal.of_patches(revision, [a_patch(tmp_path, "line 30", "better")])
    assert found.facts["before"] == "upstream master-1-abc (small)"
    assert found.facts["after"] == "with better.patch"
    assert found.facts["files"] == [["stable-diffusion.cpp", 1, 1]]
    assert found.before[0] == found.after[0]
    assert [p.name for p in found.after[1]] == ["better"]


def test_a_patch_that_does_not_fit_is_a_conflict_before_anything_is_built(
    revision: Revision, tmp_path: Path
) -> None:
    with pytest.raises(PatchConflict) as caught:
        proposal.of_patches(revision, [a_patch(tmp_path, "line 99", "better")])
    assert "stable-diffusion.cpp, line 29: this hunk does not fit" in caught.value.remedy


def test_a_patch_that_is_there_already_is_nothing_to_compare(revision: Revision, tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="already upstream"):
        proposal.of_patches(revision, [a_patch(tmp_path, "line 0", "line 30")])


@pytest.fixture
def sides(fake_build: Callable[..., Build]) -> list[BuildUnderTest]:
    """A side before and one after that are one build of the fake library."""
    before = dataclasses.replace(killable_run.contender(fake_build("C")), baseline="fake")
    side = dataclasses.replace(before.side, label="fake after", patched=True, identity="another")
    return [before, dataclasses.replace(before, side=side)]


def both(records: Records) -> Records:
    """Give the side after the observations of the side before."""
    for (_, shot), seen in list(records.observations.items()):
        records.observations["another", shot] = dataclasses.replace(seen, build="another")
    return records


def test_what_fails_without_the_change_too_is_known(sides: list[BuildUnderTest], tmp_path: Path) -> None:
    records = both(run_sides(sides[:1], tmp_path, title="", command="", jobs=2))
    cells = list(judge(sides, records, []))
    assert {cell.verdict for cell in cells} == {Verdict.PASS, Verdict.WRONG}
    for cell in cells:
        assert cell.status is (Status.PASS if cell.verdict is Verdict.PASS else Status.XFAIL)
        assert bool(cell.reason) == (cell.verdict is not Verdict.PASS)


def test_what_passed_without_the_change_and_fails_with_it_is_red(
    sides: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(sides[:1], tmp_path, title="", command="", jobs=2))
    good = next(case for case in sides[0].cases if case.name == "times-0")
    bad = next(case for case in sides[0].cases if case.name == "times-1")
    seen = records.observations
    lost = dataclasses.replace(seen["another", bad.shot.name], picture=None, outcome="crashed", text="gone")
    seen["another", good.shot.name] = lost
    seen["another", bad.shot.name] = lost
    cells = {cell.case: cell for cell in judge(sides, records, []) if cell.side == "fake after"}
    assert (cells["times-0"].verdict, cells["times-0"].status) == (Verdict.ABORT, Status.UNEXPECTED)
    assert cells["times-1"].status is Status.UNEXPECTED, "a wrong picture before, no process now"
    assert cells["times-2"].status is Status.XFAIL
