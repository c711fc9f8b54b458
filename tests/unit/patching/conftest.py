"""Fixtures for the tests of patches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdcpp import cache
from sdcpp.source import workspace
from tests.unit import git_repositories
from tests.unit.patching.author import Author
from tests.unit.patching.good_patch import GOOD
from tests.unit.patching.upstream import Upstream


@pytest.fixture
def series_folder(tmp_path: Path) -> Path:
    """Return a folder of patches: small-thing with one form, which follows all rules, and the file series."""
    folder = tmp_path / "patches"
    (folder / "small-thing").mkdir(parents=True)
    (folder / "small-thing" / "generation-a.patch").write_text(GOOD)
    (folder / "series").write_text("# The order.\n\nsmall-thing  # why here\n")
    return folder


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary cache, a git configuration that could change results, and the environment of a git hook."""
    monkeypatch.setenv(cache.VARIABLE, os.fspath(tmp_path / "cache"))
    settings = "[am]\n\tthreeWay = true\n[commit]\n\tgpgSign = true\n[core]\n\tautocrlf = true\n"
    (tmp_path / ".gitconfig").write_text(settings + "[apply]\n\tignoreWhitespace = change\n")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, os.fspath(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_COMMITTER_NAME", "the hook's user")


@pytest.fixture
def tree(tmp_path: Path) -> workspace.Tree:
    """Return the workspace of a small source tree of generation B."""
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads")
    return workspace.workspace(git_repositories.revision(origin, tag="master-1-abc"))


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path / "author")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """Return a stand-in for somebody's clone of upstream."""
    return Upstream(tmp_path / "upstream")
