"""Descriptions of a proposed change, made before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.verification import proposal
from sdcpp.errors import NothingTried, PatchConflict
from sdcpp.patching import patch_file
from sdcpp.source.revision import Revision
from tests.unit import git_repositories

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


def test_a_proposal_lists_its_patches_and_the_files_they_change(revision: Revision, tmp_path: Path) -> None:
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
    assert "stable-diffusion.cpp, line 29: this hunk does not apply" in caught.value.remedy


def test_a_patch_that_is_there_already_is_nothing_to_compare(revision: Revision, tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="already upstream"):
        proposal.of_patches(revision, [a_patch(tmp_path, "line 0", "line 30")])
