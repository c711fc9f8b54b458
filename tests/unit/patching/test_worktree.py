"""Tests of turning patch files into commits, and commits into patch files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sdcpp import cache, project
from sdcpp.errors import OutputRefused, PatchConflict, SeriesInvalid
from sdcpp.git import Repository
from sdcpp.patching import series, worktree
from sdcpp.patching.prepared import prepare
from sdcpp.patching.state import State
from sdcpp.patching.worktree import Exported
from sdcpp.source import workspace
from tests.unit import git_repositories

TRAILERS = "Upstream-Status: Pending\nFixes: sd1-tiny/gguf-F16@auto ABORT\n"


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "series").write_text("# in order\n")
    return folder


@pytest.fixture
def working_tree(tree: workspace.Tree, patches: Path, tmp_path: Path) -> Path:
    """Return a working tree from which two patches were exported; ``patches`` also has one for another revision."""
    folder = tmp_path / "work"
    worktree.start(tree, [], folder)
    commit(folder, "line 10\n", "ten\n", "fix: say ten in words\n\nWhy so.\n\n" + TRAILERS)
    commit(folder, "line 30\n", "thirty\n", "fix: thirty, too\n\nWhy.\n\n" + TRAILERS)
    assert worktree.export(folder, patches).written == (
        "say-ten-in-words/small.patch",
        "thirty-too/small.patch",
    )
    other = (patches / "thirty-too/small.patch").read_text().replace("Revisions: small", "Revisions: 2026-05")
    for name in ("of-another", "thirty-too"):
        (patches / name).mkdir(exist_ok=True)
        (patches / name / "2026-05.patch").write_text(other)
    (patches / "series").write_text("# in order\nsay-ten-in-words\nof-another\nthirty-too\n")
    return folder


def commit(folder: Path, old: str, new: str, message: str) -> None:
    place = folder / "stable-diffusion.cpp"
    place.write_text(place.read_text().replace(old, new))
    git_repositories.git(folder, "commit", "--quiet", "--all", f"--message={message}")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("**/*")
        if path.is_file()
    }


def order(patches: Path) -> list[str]:
    return list(series.names(patches))


def subjects(folder: Path) -> list[str]:
    return git_repositories.git(folder, "log", "--reverse", "--format=%s").splitlines()[1:]


def test_exporting_twice_changes_nothing(working_tree: Path, patches: Path) -> None:
    before = contents(patches)
    for _ in range(2):
        done = worktree.export(working_tree, patches)
        assert done == Exported(
            written=(), removed=(), unchanged=("say-ten-in-words/small.patch", "thirty-too/small.patch")
        )
        assert contents(patches) == before


def test_starting_and_exporting_changes_nothing(
    tree: workspace.Tree, working_tree: Path, patches: Path, tmp_path: Path
) -> None:
    before = contents(patches)
    again = tmp_path / "again"
    applied = worktree.start(tree, series.load(patches), again)
    assert [patch.name for patch in applied] == ["say-ten-in-words", "thirty-too"]
    assert subjects(again) == subjects(working_tree) == ["fix: say ten in words", "fix: thirty, too"]
    assert worktree.export(again, patches).written == ()
    assert contents(patches) == before


def test_what_is_exported_applies_and_keeps_the_rules(
    tree: workspace.Tree, working_tree: Path, patches: Path
) -> None:
    with cache.lock(tree.path):
        prepared = prepare(tree, series.load(patches))
    assert [entry.patch.name for entry in prepared.states if entry.state is State.APPLIES] == [
        "say-ten-in-words",
        "thirty-too",
    ]
    assert (tree.path / "stable-diffusion.cpp").read_text() == (
        working_tree / "stable-diffusion.cpp"
    ).read_text()
    assert "Patch-Filename" not in (patches / "thirty-too/small.patch").read_text()


def test_a_working_tree_outlives_the_cache(working_tree: Path, patches: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")
    git_repositories.git(working_tree, "fsck", "--full")
    assert worktree.export(working_tree, patches).written == ()


@pytest.mark.usefixtures("working_tree")
def test_changing_dropping_and_adding_commits(tree: workspace.Tree, patches: Path, tmp_path: Path) -> None:
    work = tmp_path / "again"
    worktree.start(tree, series.load(patches), work)
    git_repositories.git(work, "reset", "--quiet", "--hard", "HEAD~1")
    place = work / "stable-diffusion.cpp"
    place.write_text(place.read_text().replace("ten\n", "TEN\n"))
    git_repositories.git(work, "commit", "--quiet", "--all", "--amend", "--no-edit")
    commit(
        work,
        "line 50\n",
        "fifty\n",
        f"fix: fifty\n\nWhy.\n\n{TRAILERS}Patch-Filename: fifty-at-last/small.patch\n",
    )
    done = worktree.export(work, patches)
    assert done.written == ("say-ten-in-words/small.patch", "fifty-at-last/small.patch")
    assert done.removed == ("thirty-too/small.patch",)
    assert order(patches) == ["say-ten-in-words", "fifty-at-last", "of-another", "thirty-too"]
    assert (patches / "thirty-too" / "2026-05.patch").exists()
    assert b"+TEN" in (patches / "say-ten-in-words/small.patch").read_bytes()
    assert (patches / "series").read_text().startswith("# in order\n")
    assert not (patches / "thirty-too/small.patch").exists()
    assert worktree.export(work, patches).unchanged == (
        "say-ten-in-words/small.patch",
        "fifty-at-last/small.patch",
    )


def test_another_order_keeps_the_place_of_patches_for_other_revisions(
    working_tree: Path, patches: Path
) -> None:
    git_repositories.git(working_tree, "checkout", "--quiet", "HEAD~2")
    git_repositories.git(working_tree, "cherry-pick", "series", "series~1")
    worktree.export(working_tree, patches)
    assert order(patches) == ["thirty-too", "of-another", "say-ten-in-words"]


@pytest.mark.usefixtures("working_tree")
def test_other_line_numbers_alone_leave_a_file_as_it_is(
    tree: workspace.Tree, patches: Path, tmp_path: Path
) -> None:
    name = patches / "thirty-too/small.patch"
    moved = name.read_text().replace("@@ -29,3 +29,3 @@", "@@ -27,3 +27,3 @@")
    assert moved != name.read_text()
    name.write_text(moved)
    worktree.start(tree, series.load(patches), tmp_path / "again")
    assert worktree.export(tmp_path / "again", patches).written == ()
    assert name.read_text() == moved


def test_a_file_that_would_change_another_place_is_written_anew(
    tree: workspace.Tree, patches: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    worktree.start(tree, [], folder)
    commit(folder, "line 10\n", "same\nold\nsame\n", "fix: one of two\n\nWhy.\n\n" + TRAILERS)
    commit(folder, "line 30\n", "same\nold\nsame\n", "fix: the other\n\nWhy.\n\n" + TRAILERS)
    place = folder / "stable-diffusion.cpp"
    first, _, last = place.read_text().rpartition("old\n")
    place.write_text(f"{first}new\n{last}")
    git_repositories.git(
        folder, "commit", "--quiet", "--all", f"--message=fix: the last\n\nWhy.\n\n{TRAILERS}"
    )
    worktree.export(folder, patches)
    name = patches / "the-last/small.patch"
    right = name.read_text()
    name.write_text(re.sub(r"@@ -\d+,3 \+\d+,3 @@", "@@ -10,3 +10,3 @@", right))
    assert name.read_text() != right
    assert worktree.export(folder, patches).written == ("the-last/small.patch",)
    assert name.read_text() == right


def test_nothing_is_written_where_something_is_wrong(
    tree: workspace.Tree, working_tree: Path, patches: Path, tmp_path: Path
) -> None:
    before = contents(patches)
    with pytest.raises(SeriesInvalid, match="sdcpp patch start"):
        worktree.export(tmp_path, patches)
    (working_tree / "CMakeLists.txt").write_text("changed\n")
    with pytest.raises(SeriesInvalid, match="uncommitted changes"):
        worktree.export(working_tree, patches)
    git_repositories.git(working_tree, "checkout", "--quiet", "CMakeLists.txt")
    commit(working_tree, "line 5\n", "five\n", f"fix: say ten, in words\n\nWhy.\n\n{TRAILERS}")
    commit(working_tree, "line 6\n", "six\n", f"fix: say ten in words!\n\nWhy.\n\n{TRAILERS}")
    with pytest.raises(SeriesInvalid, match="two commits"):
        worktree.export(working_tree, patches)
    assert contents(patches) == before
    with pytest.raises(OutputRefused):
        worktree.start(tree, [], working_tree)


@pytest.mark.usefixtures("working_tree")
def test_a_conflict_is_reported_before_a_folder_is_made(
    tree: workspace.Tree, patches: Path, tmp_path: Path
) -> None:
    name = patches / "thirty-too/small.patch"
    name.write_text(name.read_text().replace("-line 30", "-line thirty"))
    with pytest.raises(PatchConflict, match="thirty-too"):
        worktree.start(tree, series.load(patches), tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_projects_own_patches_are_written_as_export_writes_them() -> None:
    for path in project.PATCHES.glob("*/*.patch"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"), path.name
        assert "Patch-Filename" not in text, path.name


def test_the_page_of_patches_has_a_row_for_each() -> None:
    page = (project.ROOT / "docs" / "patches.md").read_text(encoding="utf-8")
    rows = [line.partition("[")[2].partition("]")[0] for line in page.splitlines() if line.startswith("| [")]
    assert rows == list(dict.fromkeys(rows))
    assert set(rows) == set(series.names())


def test_an_exported_file_has_a_clean_message_and_notes(working_tree: Path, patches: Path) -> None:
    text = (patches / "say-ten-in-words" / "small.patch").read_text()
    message, _, rest = text.partition("\n---\n")
    assert message.endswith("Why so.\n")
    assert rest.startswith(
        "Upstream-Status: Pending\nFixes: sd1-tiny/gguf-F16@auto ABORT\n".join(
            ["Revisions: small\n", "\ndiff --git"]
        )
    )
    assert working_tree.is_dir()


def test_the_notes_of_a_file_stay_when_its_commit_changes(
    tree: workspace.Tree, working_tree: Path, patches: Path, tmp_path: Path
) -> None:
    path = patches / "thirty-too" / "small.patch"
    path.write_text(path.read_text().replace("\n\ndiff", "\n\nMeasured: see above.\n\ndiff"))
    worktree.start(tree, series.load(patches), tmp_path / "again")
    place = tmp_path / "again" / "stable-diffusion.cpp"
    place.write_text(place.read_text().replace("thirty\n", "THIRTY\n"))
    git_repositories.git(tmp_path / "again", "commit", "--quiet", "--all", "--amend", "--no-edit")
    assert worktree.export(tmp_path / "again", patches).written == ("thirty-too/small.patch",)
    assert "\n\nMeasured: see above.\n\ndiff" in path.read_text()
    assert "+THIRTY" in path.read_text()
    assert working_tree.is_dir()


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError("disk")])
def test_a_working_tree_that_is_not_completed_is_removed(
    tree: workspace.Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(Repository, "check_git", fail)
    monkeypatch.setattr(worktree, "find_states", lambda *_: ())
    with pytest.raises(type(problem)):
        worktree.start(tree, [], tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_folder_that_cannot_be_made_is_refused(tree: workspace.Tree, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputRefused, match="folder cannot be made"):
        worktree.start(tree, [], tmp_path / "file" / "work")


def test_windows_line_ends_of_a_file_stay(working_tree: Path, patches: Path) -> None:
    place = working_tree / "windows.cpp"
    place.write_bytes(place.read_bytes().replace(b"line 5\r\n", b"five\r\n"))
    message = "fix: five\n\nWhy.\n\nPatch-Filename: five-in-words/small.patch\n"
    git_repositories.git(working_tree, "commit", "--quiet", "--all", f"--message={message}")
    worktree.export(working_tree, patches)
    assert b"-line 5\r\n+five\r\n" in (patches / "five-in-words" / "small.patch").read_bytes()
