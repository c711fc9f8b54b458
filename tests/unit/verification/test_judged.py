"""The memory of judged commits, on a repository that stands in for upstream's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.verification import judged
from sdcpp.source import mirror, upstream
from sdcpp.source.revision import Revision
from tests.unit import git_repositories
from tests.unit.git_repositories import git


@pytest.fixture
def commits(tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Revision]:
    """Return three commits of the main branch, the oldest first, and one of a branch that starts at the first."""
    assert cache_folder
    folder = tmp_path / "upstream"
    git_repositories.repository(folder)
    for name in ("second", "third"):
        git(folder, "commit", "--quiet", "--allow-empty", f"--message={name}")
    git(folder, "checkout", "--quiet", "-b", "side", "main~2")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=aside")
    monkeypatch.setenv(mirror.VARIABLE, os.fspath(folder))
    return [upstream.find(name) for name in ("main~2", "main~1", "main", "side")]


def last(wanted: Revision, backend: str = "cpu") -> str | None:
    found = judged.last(wanted, backend)
    return found.commit if found else None


def test_the_ancestor_that_was_judged_last_on_the_backend_is_found(commits: list[Revision]) -> None:
    first, second, third, side = commits
    assert last(third) is None
    judged.remember(first, "cpu")
    judged.remember(side, "cpu")
    assert last(third) == first.commit, "the side branch is no ancestor"
    judged.remember(second, "cpu")
    judged.remember(third, "cpu")
    assert last(third) == second.commit, "a commit that is judged again is compared with the same one"
    judged.remember(first, "cpu")
    assert last(third) == first.commit
    assert last(side) == first.commit
    assert last(third, "vulkan") is None
    found = judged.last(third, "cpu")
    assert found is not None
    assert found.date == first.date


def test_an_unreadable_memory_and_a_commit_that_is_gone_are_ignored(
    commits: list[Revision], capsys: pytest.CaptureFixture[str]
) -> None:
    *_, third, _ = commits
    judged.path().write_text(
        '[{"commit": "' + "f" * 40 + '", "date": "", "backend": "cpu"}]', encoding="utf-8"
    )
    assert last(third) is None
    for text in ("[", "{}", '[{"commit": 1}]', "[1]"):
        judged.path().write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert last(third) is None
        assert ("cannot be read" in capsys.readouterr().err) == (text != "{}")
