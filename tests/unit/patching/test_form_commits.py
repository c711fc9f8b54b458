"""Tests of the forms of a series as commits of a clone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sdcpp.errors import PatchConflict, SeriesInvalid
from sdcpp.patching import patch_file
from sdcpp.patching.form_commits import FormCommits, release
from sdcpp.patching.patch_file import Patch
from tests.unit import git_repositories
from tests.unit.git_repositories import git
from tests.unit.patching.author import Author
from tests.unit.patching.upstream import Upstream, form, replacing

FILE = "stable-diffusion.cpp"


@pytest.fixture
def patches(author: Author) -> list[Patch]:
    return [
        form(author, "fix-thirty", {FILE: replacing("line 30", "better")}),
        form(author, "fix-windows", {"windows.cpp": lambda old: old.replace("line 5\r", "five\r")}),
    ]


def test_the_commits_are_on_the_commit_of_the_revision(upstream: Upstream, patches: list[Patch]) -> None:
    first, second = (upstream.series(patches).commit(patch) for patch in patches)
    assert git(upstream.path, "rev-parse", f"{second}~1", f"{second}~2").split() == [first, upstream.first]
    assert git(upstream.path, "diff", "--name-only", upstream.first, second).split() == [FILE, "windows.cpp"]
    author, shown = upstream.path.with_name("author"), ("log", "-1", "--format=%an|%ad|%B", "--date=iso")
    assert git(upstream.path, *shown, first) == git(author, *shown, "HEAD~1")
    files = [
        git(path, "rev-parse", f"{c}:windows.cpp") for path, c in ((upstream.path, second), (author, "HEAD"))
    ]
    assert files[0] == files[1]
    assert upstream.series(patches).commit(patches[1]) == second
    assert git(upstream.path, "rev-parse", "refs/sdcpp/port/old") == second
    release(upstream.clone)
    assert git(upstream.path, "for-each-ref", "refs/sdcpp") == ""


def test_a_message_keeps_its_trailers_and_loses_the_notes(upstream: Upstream, author: Author) -> None:
    made = author.patch("a", {FILE: replacing("line 30", "x")}, "Co-authored-by: A <a@example.org>")
    mail = made.mail.replace(
        b"\n---\n", "\n# a line of «text»\n---\nRevisions: old\n\nA note.\n\n".encode(), 1
    )
    patch = patch_file.parse(mail, made.path)
    message = git(upstream.path, "log", "-1", "--format=%B", upstream.series([patch]).commit(patch))
    assert message == "fix: a\n\nWhy so.\n\nCo-authored-by: A <a@example.org>\n# a line of «text»"


@pytest.mark.parametrize("fork_of", [None, "0" * 40])
def test_a_revision_that_the_clone_does_not_have_comes_from_its_workspace(
    upstream: Upstream, patches: list[Patch], tmp_path: Path, fork_of: str | None
) -> None:
    files = {**git_repositories.TREE, "ggml/CMakeLists.txt": "project(ggml)\n"}
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads", files)
    (old,) = upstream.known()
    absent = dataclasses.replace(old, origin=origin, commit=fork_of and old.commit, fork_of=fork_of)
    series = FormCommits(clone=upstream.clone, patches=patches, known=[absent])
    commit = series.commit(patches[1])
    assert git(upstream.path, "ls-tree", "--name-only", commit).split() == [FILE, "windows.cpp"]
    assert git(upstream.path, "rev-list", "--count", commit) == "3"
    assert git(upstream.path, "rev-parse", "refs/sdcpp/port/old") == commit


def test_a_form_that_does_not_apply_to_its_own_revision_is_a_conflict(
    upstream: Upstream, author: Author
) -> None:
    form(author, "fix-thirty", {FILE: replacing("line 30", "better")})
    second = form(author, "fix-again", {FILE: replacing("better", "best")})
    with pytest.raises(PatchConflict, match=r"patch does not apply to old: .*fix-again.*old\.patch"):
        upstream.series([second]).commit(second)


def test_the_forms_are_in_the_order_to_try_them(upstream: Upstream, author: Author) -> None:
    old, new, later = (
        form(author, "fix-thirty", {FILE: lambda text, name=name: text + name}, name)  # type: ignore[misc]
        for name in ("old", "new", "later")
    )
    series = upstream.series([later, new, old], "new", "later")
    assert series.forms("fix-thirty", "2009-01-01") == [later, new, old]
    assert series.forms("fix-thirty", "2002-06-01") == [new, old, later]
    assert series.forms("fix-thirty", "1999-01-01") == [old, new, later]


def test_a_generation_means_its_newest_revision(upstream: Upstream, patches: list[Patch]) -> None:
    series = upstream.series(patches, "new")
    for revisions, name in (((), "new"), (("generation C",), "new"), (("old",), "old")):
        patch = dataclasses.replace(patches[0], revisions=revisions)
        assert series.revision(patch).name == name
    with pytest.raises(SeriesInvalid, match="the form is for no known revision"):
        series.revision(dataclasses.replace(patches[0], revisions=("generation A",)))


def test_a_patch_without_a_form_for_the_newest_revision(upstream: Upstream, patches: list[Patch]) -> None:
    newer = dataclasses.replace(patches[1], revisions=("new",))
    series = upstream.series([patches[0], newer], "new")
    assert series.without_form("fix-thirty", "2002-01-01", forks=False) == "new"
    assert series.without_form("fix-thirty", "2001-06-01", forks=False) is None
    assert series.without_form("fix-windows", "2002-01-01", forks=False) is None
    fork = dataclasses.replace(series.known[1], fork_of="0" * 40)
    series = dataclasses.replace(series, known=[series.known[0], fork])
    assert series.without_form("fix-thirty", "2002-01-01", forks=False) is None
    assert series.without_form("fix-thirty", "2002-01-01", forks=True) == "new"
