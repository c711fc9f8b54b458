from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp import __version__, project
from sdcpp.errors import CheckoutNeeded
from tests.unit import git_repositories


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is taken for the project."""
    monkeypatch.setattr(project, "ROOT", tmp_path)
    monkeypatch.setattr(project, "STAMP", tmp_path / "VERSION")
    return tmp_path


def test_the_projects_own_files_are_there() -> None:
    assert project.REVISIONS.is_file()
    assert list(project.PATCHES.glob("*/*.patch"))
    assert project.checkout() == project.ROOT


def test_a_checkout_says_its_commit_and_whether_it_was_changed(root: Path) -> None:
    commit = git_repositories.repository(root, {"a": "1"})
    assert project.version() == f"{__version__}+{commit[:12]}"
    (root / "a").write_text("2")
    assert project.version() == f"{__version__}+{commit[:12]}.dirty"


def test_a_folder_without_a_repository_does_not_say_the_commit_of_one_around_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_repositories.repository(root, {"inner/a": "1"})
    monkeypatch.setattr(project, "ROOT", root / "inner")
    assert project.version() == __version__


def test_a_bundle_says_the_version_that_was_packed(root: Path) -> None:
    (root / "VERSION").write_text("0.1.0+abc\n", encoding="utf-8")
    assert project.version() == "0.1.0+abc"


def test_an_installed_package_is_no_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "INSTALLED", True)
    with pytest.raises(CheckoutNeeded):
        project.checkout()
