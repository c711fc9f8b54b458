from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sdcpp import git
from sdcpp.errors import SourceInvalid
from sdcpp.git import Repository
from tests.unit import git_repositories


@pytest.fixture(autouse=True)
def _a_user_with_settings_in_a_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who signs commits and converts line ends, and whose hook calls this project."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[commit]\n\tgpgSign = true\n[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("HOME", os.fspath(home))
    monkeypatch.setenv("GIT_DIR", os.fspath(tmp_path / "another"))
    monkeypatch.setenv("GIT_INDEX_FILE", os.fspath(tmp_path / "another" / "index"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "the hook's user")


def created(path: Path, files: dict[str, str] | None = None) -> Repository:
    """Return a new repository with files that no commit has yet."""
    git_repositories.write(path, git_repositories.TREE if files is None else files)
    repository = Repository(path=path)
    repository.create()
    return repository


def stored(repository: Repository, commit: str) -> dict[str, str]:
    """Return git's identity of each file of a commit."""
    listing = git_repositories.git(repository.path, "ls-tree", "-r", "-z", commit).split("\0")
    fields = (line.partition("\t") for line in listing if line)
    return {name: words.split()[2] for words, _, name in fields}


def identity(text: str) -> str:
    """Return git's identity of a file with this text, to the byte."""
    content = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's


def test_all_files_are_committed_as_they_are_and_the_commit_depends_on_nothing_else(tmp_path: Path) -> None:
    one, other = created(tmp_path / "one"), created(tmp_path / "other")
    commit = one.commit_all()
    assert stored(one, commit) == {name: identity(text) for name, text in git_repositories.TREE.items()}
    assert other.commit_all() == commit
    assert one.names() == set(git_repositories.TREE)
    (other.path / "docs" / "lora.md").write_text("other", encoding="utf-8")
    assert other.commit_all() != commit
    assert not (tmp_path / "another").exists()


def test_ignored_files_are_committed_too(tmp_path: Path) -> None:
    repository = created(tmp_path / "x", {".gitignore": "*.bin\n", "model.bin": "weights"})
    assert set(stored(repository, repository.commit_all())) == {".gitignore", "model.bin"}


def test_only_listed_files_are_committed(tmp_path: Path) -> None:
    repository = created(tmp_path / "x", {"a": "1", "b/c": "2", "d": "3"})
    first = repository.commit_listed(["a", "b/c", "absent"])
    assert set(stored(repository, first)) == {"a", "b/c"}
    second = repository.commit_listed(["d", "a"])
    assert set(stored(repository, second)) == {"a", "d"}
    assert repository.commit_listed(["b/c", "a"]) == first


def test_names_refer_to_commits_or_to_nothing(tmp_path: Path) -> None:
    repository = created(tmp_path / "x", {"a": "1"})
    commit = repository.commit_all()
    repository.check_git("update-ref", "refs/series/one", commit)
    assert repository.resolve("refs/series/one") == commit
    assert repository.resolve(commit[:12]) == commit
    assert repository.resolve("refs/series/two") is None
    assert repository.resolve(f"{commit}:a") is None


def test_another_folder_and_another_index_can_be_committed(tmp_path: Path) -> None:
    repository = created(tmp_path / "x", {"a": "1"})
    first = repository.commit_all()
    content = git_repositories.write(tmp_path / "content", {"b": "2"})
    elsewhere = Repository(path=repository.path, index=tmp_path / "index", content=content)
    assert set(stored(repository, elsewhere.commit_all())) == {"b"}
    assert repository.names() == {"a"}
    assert repository.commit_all() == first


def test_a_damaged_repository_is_named_with_gits_words(tmp_path: Path) -> None:
    repository = created(tmp_path / "x", {"a": "1"})
    (repository.folder / "HEAD").write_text("garbage")
    with pytest.raises(SourceInvalid, match=r"git add failed: .*x") as caught:
        repository.commit_all()
    assert "not a git repository" in caught.value.remedy


def test_the_head_is_that_of_the_folder_itself_never_of_one_around_it(tmp_path: Path) -> None:
    commit = git_repositories.repository(tmp_path / "checkout", {"a": "1", "inner/b": "2"})
    assert git.head(tmp_path / "checkout") == commit
    assert git.head(tmp_path / "checkout" / "inner") is None
    assert git.head(tmp_path) is None
    (tmp_path / "empty").mkdir()
    git_repositories.git(tmp_path / "empty", "init", "--quiet")
    assert git.head(tmp_path / "empty") is None
