"""Copies of repositories with submodules; test_upstream.py has the tests of what is fetched when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdcpp import cache
from sdcpp.errors import NetworkUnavailable, SourceInvalid
from sdcpp.source.mirror import Mirror
from tests.unit import git_repositories
from tests.unit.git_repositories import git


@pytest.fixture
def server(tmp_path: Path, cache_folder: Path) -> Path:
    """Return a folder with the repositories ``upstream`` and ``ggml``; ``ggml`` is a submodule of ``upstream``."""
    assert cache_folder
    git_repositories.with_submodule(tmp_path)
    return tmp_path


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")


def test_submodules_are_exported_at_any_depth_and_with_any_url(server: Path, tmp_path: Path) -> None:
    outer = server / "deep" / "outer"
    git_repositories.repository(outer, {"top.c": "int top;\n"})
    git(outer, "submodule", "--quiet", "add", "../../upstream", "relative")
    git(outer, "submodule", "--quiet", "add", os.fspath(server / "ggml"), "third party/absolute")
    git(outer, "commit", "--quiet", "--message=submodules")
    folder = tmp_path / "exported"
    folder.mkdir()
    Mirror(url=os.fspath(outer)).export(head(outer), folder)
    for name, repository in (
        ("relative", "upstream"),
        ("relative/ggml", "ggml"),
        ("third party/absolute", "ggml"),
    ):
        assert git_repositories.contents(folder / name) == git_repositories.contents(server / repository)
    assert not list(folder.rglob(".git"))


def test_each_repository_has_a_folder_of_its_own(server: Path) -> None:
    urls = ["https://example.org/a/ggml.git", "https://example.org/b/ggml", os.fspath(server / "ggml")]
    paths = [Mirror(url=url).path for url in urls]
    assert len(set(paths)) == 3
    assert all(path.parent == cache.root() / cache.UPSTREAM for path in paths)
    assert all(path.name.startswith("ggml-") for path in paths)


def test_a_commit_that_the_server_lacks_is_named(server: Path, tmp_path: Path) -> None:
    copy = Mirror(url=os.fspath(server / "ggml"), submodule=True)
    with pytest.raises(SourceInvalid, match="repository has no such commit: ffff"):
        copy.export("f" * 40, tmp_path)


def test_a_submodule_of_a_remote_repository_is_no_local_folder(server: Path, tmp_path: Path) -> None:
    copy = Mirror(url=os.fspath(server / "ggml"), submodule=True, local=False)
    with pytest.raises(NetworkUnavailable) as caught:
        copy.export(head(server / "ggml"), tmp_path)
    assert "not allowed" in caught.value.remedy


def test_a_command_that_only_reads_fetches_nothing(server: Path) -> None:
    git(server / "upstream", "config", "uploadpack.allowFilter", "true")
    copy = Mirror(url=os.fspath(server / "upstream"))
    copy.update()
    name = f"{head(server / 'upstream')}:CMakeLists.txt"
    assert copy.git("show", name).status
    assert copy.git("show", name, online=True).output == git_repositories.TREE["CMakeLists.txt"]
