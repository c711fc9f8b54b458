"""Tests of the branch and the worktree of a port."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sdcpp.errors import Error, OutputRefused, SeriesInvalid, SourceInvalid
from sdcpp.patching import port_branch
from sdcpp.patching.port_state import PortState
from tests.unit.git_repositories import git
from tests.unit.patching.author import Author
from tests.unit.patching.upstream import Upstream, form


def start(upstream: Upstream, **options: Any) -> PortState:
    folder = upstream.path.with_name("tree")
    settings: dict[str, Any] = {"branch": "fixes", "onto": "HEAD", "folder": folder} | options
    return port_branch.start(upstream.clone, ["one", "two"], **settings)


def test_a_port_begins_at_a_commit_in_a_worktree_of_its_own(upstream: Upstream, tmp_path: Path) -> None:
    upstream.commit({"CMakeLists.txt": lambda text: text + "more\n"})
    state = start(upstream, onto="HEAD~1", only=["two"])
    assert (state.base, state.head, state.label) == (upstream.first, upstream.first, upstream.first[:7])
    assert [step.name for step in state.steps] == ["two"]
    assert git(tmp_path / "tree", "status", "--porcelain", "--branch") == "## fixes"
    assert git(upstream.path, "rev-parse", "fixes") == upstream.first


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"branch": "main"}, OutputRefused, "the branch exists already: main"),
        ({"folder": Path("docs")}, OutputRefused, "the folder exists already"),
        ({"only": ["other"]}, SeriesInvalid, "the series has no such patch: other"),
        ({"onto": "nowhere"}, SourceInvalid, "the clone has no commit nowhere"),
        ({"branch": "no name"}, SourceInvalid, "git worktree failed"),
    ],
)
def test_what_cannot_begin_changes_nothing(
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    error: type[Error],
    text: str,
) -> None:
    monkeypatch.chdir(upstream.path)
    with pytest.raises(error, match=text):
        start(upstream, **options)
    assert git(upstream.path, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert len(git(upstream.path, "worktree", "list").splitlines()) == 1


def test_one_port_at_a_time_is_unfinished(upstream: Upstream, tmp_path: Path, author: Author) -> None:
    with pytest.raises(SourceInvalid, match="no port is unfinished"):
        port_branch.unfinished(upstream.clone, [])
    state = start(upstream)
    patches = [
        form(author, name, {"CMakeLists.txt": lambda text: f"{text}more\n"}) for name in ("one", "two")
    ]
    assert port_branch.unfinished(upstream.clone, patches) == state
    with pytest.raises(SeriesInvalid, match="the series has changed since the port began: two"):
        port_branch.unfinished(upstream.clone, patches[:1])
    state.steps[0].form, state.steps[0].commit = "other.patch", upstream.first
    state.save()
    with pytest.raises(SeriesInvalid, match=r"the series has changed since the port began: one other\.patch"):
        port_branch.unfinished(upstream.clone, patches)
    with pytest.raises(SourceInvalid, match="the clone has an unfinished port"):
        start(upstream, branch="other", folder=tmp_path / "other")


@pytest.mark.parametrize("gone", [False, True])
def test_aborting_removes_the_branch_and_the_worktree(upstream: Upstream, gone: bool) -> None:
    state = start(upstream)
    (state.folder / "new.txt").write_text("untracked\n")
    clone = state.worktree
    if gone:
        shutil.rmtree(state.folder)
        clone = upstream.clone
        with pytest.raises(SourceInvalid, match="the worktree of the unfinished port is gone"):
            port_branch.unfinished(clone, [])
    port_branch.abort(clone)
    assert not state.folder.exists()
    assert git(upstream.path, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    with pytest.raises(SourceInvalid, match="no port is unfinished"):
        port_branch.abort(upstream.clone)
