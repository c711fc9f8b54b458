"""Tests of comparing a checkout with its base, with real git repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sdcpp.errors import NothingTried, PatchConflict, SourceInvalid
from sdcpp.source import checkout
from sdcpp.source.workspace import Tree
from tests.unit import git_repositories
from tests.unit.git_repositories import git

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    """Return a clone of upstream with its submodule, on a new branch."""
    git_repositories.with_submodule(tmp_path / "remote")
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", "remote/upstream", "mine")
    mine = tmp_path / "mine"
    # The clone has the files exactly as committed: its attributes convert no line endings.
    (mine / ".git" / "info" / "attributes").write_text("* -text -ident\n", encoding="utf-8")
    git(mine, "checkout", "--quiet", "--force", "-b", "fix")
    for path in mine.rglob("*.cpp"):
        path.unlink()
    git(mine, "checkout", "--quiet", "--force", ".")
    return mine


def text(tree: Tree, name: str) -> str:
    return git(tree.path, "cat-file", "-p", f"{tree.base}:{name}")


def names(tree: Tree) -> set[str]:
    return set(git(tree.path, "ls-tree", "-r", "--name-only", tree.base).splitlines())


def test_committed_uncommitted_and_new_work_is_the_change(cloned: Path) -> None:
    git_repositories.write(cloned, {"docs/lora.md": "committed\n"})
    git(cloned, "commit", "--quiet", "--all", "--message=docs: say more")
    git_repositories.write(
        cloned, {"stable-diffusion.cpp": "not committed\n", "new.cpp": "new\n", "x.bin": "ignored"}
    )
    (cloned / "no-line-end.txt").unlink()
    before = git_repositories.listing(cloned)
    found = checkout.compare(cloned)
    assert git_repositories.listing(cloned) == before, "the checkout was touched"
    assert found.upstream == "origin/main"
    assert {name for name, *_ in found.files} == {
        "docs/lora.md",
        "stable-diffusion.cpp",
        "new.cpp",
        "no-line-end.txt",
    }
    assert {name: counts for name, *counts in found.files}["new.cpp"] == [1, 0]
    assert set(found.uncommitted) == {"stable-diffusion.cpp", "new.cpp", "no-line-end.txt"}
    assert [commit.subject for commit in found.commits] == ["docs: say more"]
    assert found.base.subject == "submodule"
    assert text(found.after, "stable-diffusion.cpp") == "not committed"
    assert text(found.before, "stable-diffusion.cpp").startswith("line 1")
    assert found.before.path == found.after.path, "objects are shared by one workspace"
    assert found.before.revision.commit == git(cloned, "rev-parse", "origin/main")


def test_a_submodule_is_taken_as_the_base_has_it(cloned: Path) -> None:
    git_repositories.write(cloned / "ggml", {"src/ggml.c": "int changed;\n"})
    git(cloned / "ggml", "commit", "--quiet", "--all", "--message=change")
    git(cloned, "commit", "--quiet", "--all", "--message=another ggml")
    found = checkout.compare(cloned)
    assert [name for name, *_ in found.files] == ["ggml/src/ggml.c"]
    assert text(found.before, "ggml/src/ggml.c") == "int ggml;"
    assert text(found.after, "ggml/src/ggml.c") == "int changed;"


def test_a_submodule_that_is_not_there_is_on_neither_side(cloned: Path, tmp_path: Path) -> None:
    git(cloned, "submodule", "--quiet", "add", str(tmp_path / "remote" / "ggml"), "web")
    git(cloned, "commit", "--quiet", "--message=base")
    base = git(cloned, "rev-parse", "HEAD")
    git(cloned, "submodule", "--quiet", "deinit", "--force", "web")
    git_repositories.write(cloned, {"new.cpp": ""})
    found = checkout.compare(cloned, base)
    assert not any(name.startswith("web/") for name in names(found.before) | names(found.after))
    assert [name for name, *_ in found.files] == ["new.cpp"]


def test_line_ends_that_git_converted_are_no_change(cloned: Path) -> None:
    (cloned / ".git" / "info" / "attributes").write_text("*.cpp text eol=crlf\n", encoding="utf-8")
    git_repositories.write(cloned, {"good.cpp": "one\r\ntwo\r\n"})
    git(cloned, "add", "good.cpp")
    git(cloned, "commit", "--quiet", "--message=stored with LF")
    base = git(cloned, "rev-parse", "HEAD")
    git_repositories.write(cloned, {"docs/lora.md": "changed\n"})
    assert git(cloned, "cat-file", "-p", "HEAD:good.cpp") == "one\ntwo"
    assert [name for name, *_ in checkout.compare(cloned, base).files] == ["docs/lora.md"]


def test_upstreams_own_remote_is_found_whatever_it_is_called(cloned: Path) -> None:
    fork, base = git(cloned, "rev-parse", "origin/main"), git(cloned, "rev-parse", "HEAD")
    git_repositories.write(cloned, {"docs/lora.md": "merged upstream meanwhile\n"})
    git(cloned, "commit", "--quiet", "--all", "--message=upstream's")
    git(cloned, "remote", "add", "leejet", "https://github.com/leejet/stable-diffusion.cpp.git")
    git(cloned, "update-ref", "refs/remotes/leejet/master", "HEAD")
    git_repositories.write(cloned, {"new.cpp": ""})
    found = checkout.compare(cloned)
    assert (found.upstream, found.commits) == ("leejet/master", ())
    assert [name for name, *_ in found.files] == ["new.cpp"]
    assert fork == base, "the fork's own branch is behind"


def test_a_base_can_be_named(cloned: Path) -> None:
    for number in (1, 2):
        git_repositories.write(cloned, {"docs/lora.md": f"{number}\n"})
        git(cloned, "commit", "--quiet", "--all", f"--message={number}")
    found = checkout.compare(cloned, "HEAD~1")
    assert [commit.subject for commit in found.commits] == ["2"]
    assert text(found.before, "docs/lora.md") == "1"
    with pytest.raises(SourceInvalid, match="no such commit"):
        checkout.compare(cloned, "nowhere")


def test_a_linked_worktree_is_a_checkout(cloned: Path, tmp_path: Path) -> None:
    git(cloned, "worktree", "add", "--quiet", str(tmp_path / "linked"), "HEAD")
    shutil.copytree(cloned / "ggml", tmp_path / "linked" / "ggml", dirs_exist_ok=True, ignore=_no_git)
    git(tmp_path / "linked", "rm", "--quiet", "--cached", "ggml")
    git(tmp_path / "linked", "commit", "--quiet", "--message=without submodules")
    (tmp_path / "linked" / "new.cpp").write_text("")
    found = checkout.compare(tmp_path / "linked", "HEAD")
    assert "new.cpp" in {name for name, *_ in found.files}


def _no_git(_: str, found: list[str]) -> list[str]:
    return [name for name in found if name == ".git"]


def test_nothing_changed_is_nothing_to_compare(cloned: Path) -> None:
    with pytest.raises(NothingTried, match="does not differ from its base"):
        checkout.compare(cloned)


def test_an_unfinished_merge_is_a_conflict(cloned: Path) -> None:
    for branch in ("one", "two"):
        git(cloned, "checkout", "--quiet", "-b", branch, "origin/main")
        git_repositories.write(cloned, {"docs/lora.md": f"{branch}\n"})
        git(cloned, "commit", "--quiet", "--all", f"--message={branch}")
    with pytest.raises(subprocess.CalledProcessError):
        git(cloned, "merge", "one")
    with pytest.raises(PatchConflict, match="unfinished merge") as caught:
        checkout.compare(cloned)
    assert "docs/lora.md" in caught.value.remedy


@pytest.mark.parametrize("kind", ["no git", "no upstream", "nothing in common"])
def test_a_folder_without_a_base_says_what_to_do(cloned: Path, kind: str) -> None:
    if kind == "no git":
        (cloned / "ggml" / ".git").unlink()
        shutil.rmtree(cloned / ".git")
        words = "--patch FILE"
    elif kind == "no upstream":
        git(cloned, "remote", "remove", "origin")
        git(cloned, "branch", "--delete", "--force", "main")
        words = "--merge-base REF"
    else:
        git(cloned, "checkout", "--quiet", "--orphan", "other")
        git(cloned, "commit", "--quiet", "--message=no parents")
        words = "--unshallow"
    with pytest.raises(SourceInvalid) as caught:
        checkout.compare(cloned)
    assert words in caught.value.remedy
    assert os.fspath(cloned) in caught.value.subject
