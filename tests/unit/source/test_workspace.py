from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdcpp import cache
from sdcpp.errors import HeaderUnsupported, NetworkUnavailable, SourceInvalid, UnsafeArchive
from sdcpp.patching.prepared import prepare
from sdcpp.source import workspace
from sdcpp.source.revision import Folder, Git, from_folder, from_git
from tests.unit import git_repositories

HOSTILE = """
[core]
    autocrlf = true
    hooksPath = {hooks}
    excludesFile = {ignore}
[commit]
    gpgSign = true
[tag]
    gpgSign = true
"""


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary cache, a git configuration that could change results, and the environment of a git hook."""
    monkeypatch.setenv(cache.VARIABLE, os.fspath(tmp_path / "cache"))
    hooks = tmp_path / "hooks"
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        git_repositories.write(hooks, {name: "#!/bin/sh\nexit 1\n"})
        (hooks / name).chmod(0o755)
    (tmp_path / "ignore").write_text("*.secret\n")
    (tmp_path / ".gitconfig").write_text(HOSTILE.format(hooks=hooks, ignore=tmp_path / "ignore"))
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, os.fspath(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00")


def expected() -> dict[str, bytes]:
    return {name: text.encode() for name, text in git_repositories.TREE.items()}


def offline(tmp_path: Path, tag: str | None = None) -> workspace.Tree:
    """Return the workspace of an sdist that is already in the cache."""
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads")
    return workspace.workspace(git_repositories.revision(origin, tag=tag))


def test_an_sdist_becomes_a_workspace_byte_for_byte(tmp_path: Path) -> None:
    tree = offline(tmp_path, tag="master-1-abc")
    assert git_repositories.contents(tree.path) == expected()
    assert tree.path.parent == tmp_path / "cache" / "trees"
    assert tree.path.name.startswith("small-")
    assert git_repositories.git(tree.path, "rev-parse", "HEAD") == tree.base
    assert git_repositories.git(tree.path, "status", "--porcelain", "--ignored") == ""
    assert git_repositories.git(tree.path, "describe", "--tags", "--dirty") == "master-1-abc"
    blob = git_repositories.git(tree.path, "ls-tree", tree.base, "windows.cpp").split()[2]
    assert git_repositories.git(tree.path, "cat-file", "-s", blob) == str(len(expected()["windows.cpp"]))


def test_the_same_content_gives_the_same_commit(tmp_path: Path) -> None:
    first = offline(tmp_path)
    shutil.rmtree(first.path)
    git_repositories.write(tmp_path / "plain")
    assert offline(tmp_path).base == first.base
    assert workspace.workspace(from_folder(tmp_path / "plain")).base == first.base


def test_a_workspace_is_made_once(tmp_path: Path) -> None:
    tree = offline(tmp_path)
    before = git_repositories.listing(tree.path)
    (tmp_path / "cache" / "downloads" / "small_upstream-1.0.tar.gz").unlink()
    assert workspace.workspace(tree.revision) == tree
    assert git_repositories.listing(tree.path) == before


def test_an_sdist_that_lacks_the_library_leaves_nothing(tmp_path: Path) -> None:
    files = {"CMakeLists.txt": "", "other.cpp": ""}
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads", files)
    with pytest.raises(SourceInvalid, match=r"it lacks include/stable-diffusion\.h or"):
        workspace.workspace(git_repositories.revision(origin))
    assert [path.suffix for path in (tmp_path / "cache" / "trees").iterdir()] == [".lock"]


def test_an_unsafe_archive_leaves_nothing(tmp_path: Path) -> None:
    files = {**git_repositories.TREE, "../../../evil": ""}
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads", files)
    with pytest.raises(UnsafeArchive, match="evil"):
        workspace.workspace(git_repositories.revision(origin))
    assert [path.suffix for path in (tmp_path / "cache" / "trees").iterdir()] == [".lock"]


def test_the_generation_comes_from_the_revision_or_the_header(tmp_path: Path) -> None:
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads")
    assert workspace.workspace(git_repositories.revision(origin, lora_api="C")).lora_api == "C"
    assert workspace.workspace(git_repositories.revision(origin)).lora_api == "B"


def test_a_git_commit_with_its_submodule(tmp_path: Path) -> None:
    first = git_repositories.with_submodule(tmp_path / "remote")
    upstream = tmp_path / "remote" / "upstream"
    git_repositories.write(upstream, {"later.cpp": "later\n"})
    git_repositories.git(upstream, "add", "later.cpp")
    git_repositories.git(upstream, "commit", "--quiet", "--message=later")
    before = git_repositories.listing(tmp_path / "remote")
    module = {".gitmodules": (upstream / ".gitmodules").read_bytes()}
    ggml = {"ggml/CMakeLists.txt": b"project(ggml)\n", "ggml/src/ggml.c": b"int ggml;\n"}
    # As in any checkout, upstream's .gitattributes apply. The user's settings do not.
    converted = {
        name: text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if name.endswith(".cpp") else text
        for name, text in expected().items()
    }
    bases = set()
    for url in (os.fspath(upstream), upstream.as_uri()):
        tree = workspace.workspace(from_git(url, first))
        assert git_repositories.contents(tree.path) == converted | module | ggml
        assert sorted(tree.path.rglob(".git")) == [tree.path / ".git"]
        bases.add(tree.base)
    assert len(bases) == 1
    assert git_repositories.listing(tmp_path / "remote") == before


def test_the_folder_of_ggml_is_the_one_of_the_record(tmp_path: Path) -> None:
    git_repositories.with_submodule(tmp_path / "remote")
    upstream = os.fspath(tmp_path / "remote" / "upstream")
    commit = git_repositories.git(tmp_path / "remote" / "upstream", "rev-parse", "HEAD").strip()
    fork = dataclasses.replace(from_git(upstream, commit), name="fork", fork_of="d" * 40)
    assert workspace.workspace(fork).path.is_dir()
    with pytest.raises(SourceInvalid, match="does not have ggml in this folder: kernels"):
        workspace.workspace(dataclasses.replace(fork, name="moved", ggml="kernels"))


def test_a_commit_that_is_not_there(tmp_path: Path) -> None:
    git_repositories.repository(tmp_path / "upstream")
    with pytest.raises(SourceInvalid, match="no such commit"):
        workspace.workspace(from_git(os.fspath(tmp_path / "upstream"), "d" * 40))
    assert [path.suffix for path in (tmp_path / "cache" / "trees").iterdir()] == [".lock"]


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    for url in (os.fspath(tmp_path / "absent"), "http://127.0.0.1:9/upstream.git"):
        with pytest.raises(NetworkUnavailable, match="cannot be reached"):
            workspace.workspace(from_git(url, "d" * 40))


def test_a_submodule_that_is_not_there(tmp_path: Path) -> None:
    commit = git_repositories.with_submodule(tmp_path / "remote")
    shutil.rmtree(tmp_path / "remote" / "ggml")
    with pytest.raises(NetworkUnavailable, match="submodule cannot be fetched"):
        workspace.workspace(from_git(os.fspath(tmp_path / "remote" / "upstream"), commit))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with a submodule and uncommitted changes of every kind, also in the submodule."""
    git_repositories.with_submodule(tmp_path / "remote")
    path = tmp_path / "checkout"
    remote = os.fspath(tmp_path / "remote" / "upstream")
    git_repositories.git(tmp_path, "clone", "--quiet", "--recursive", remote, os.fspath(path))
    git_repositories.write(
        path,
        {
            "stable-diffusion.cpp": "changed\n",
            "windows.cpp": git_repositories.TREE["windows.cpp"],
            "new.cpp": "new\r\n",
            "staged.cpp": "staged\n",
            "build/object.o": "ignored\n",
            "model.bin": "ignored\n",
            "keys.secret": "ignored by the user's own settings\n",
            "ggml/src/ggml.c": "changed\n",
            "ggml/src/new.c": "new\n",
            " leading space.txt": "\n",
        },
    )
    (path / "docs" / "lora.md").unlink()
    (path / "link.cpp").symlink_to("new.cpp")
    git_repositories.git(path, "add", "staged.cpp")
    return path


WORK = {
    "stable-diffusion.cpp": b"changed\n",
    "new.cpp": b"new\r\n",
    "staged.cpp": b"staged\n",
    "ggml/CMakeLists.txt": b"project(ggml)\n",
    "ggml/src/ggml.c": b"changed\n",
    "ggml/src/new.c": b"new\n",
    " leading space.txt": b"\n",
    "link.cpp": b"new\r\n",
}


def test_a_users_folder_is_taken_as_it_is_and_never_written_to(checkout: Path) -> None:
    before = git_repositories.listing(checkout)
    tree = workspace.workspace(from_folder(checkout))
    with cache.lock(tree.path):
        prepare(tree)
    assert git_repositories.listing(checkout) == before
    found = git_repositories.contents(tree.path)
    module = {".gitmodules": (checkout / ".gitmodules").read_bytes()}
    wanted = {name: (checkout / name).read_bytes() for name in expected() if name != "docs/lora.md"}
    assert found == wanted | module | WORK
    assert (tree.path / "link.cpp").is_symlink()
    assert found["windows.cpp"] == expected()["windows.cpp"]


def test_only_what_changed_in_the_folder_changes_in_the_workspace(checkout: Path) -> None:
    first = workspace.workspace(from_folder(checkout))
    before = git_repositories.listing(first.path)
    assert workspace.workspace(from_folder(checkout)).base == first.base

    git_repositories.write(checkout, {"new.cpp": "newer\n", "ggml/src/third.c": "third\n"})
    (checkout / "staged.cpp").unlink()
    (checkout / "ggml" / "src" / "new.c").unlink()
    os.utime(checkout / "CMakeLists.txt")  # touched, not changed
    second = workspace.workspace(from_folder(checkout))
    assert second.path == first.path
    assert second.base != first.base
    with cache.lock(second.path):
        prepare(second)
    after = git_repositories.listing(second.path)
    content = {name for name in before.keys() | after.keys() if not name.startswith(".git/")}
    changed = {name for name in content if before.get(name) != after.get(name)}
    assert changed - {"", ".git", "ggml/src"} == {
        "new.cpp",
        "ggml/src/third.c",
        "staged.cpp",
        "ggml/src/new.c",
    }
    # The file must be newer than an object that was built before, although the user's file may be older.
    assert after["new.cpp"][2] > before["new.cpp"][2]


def test_a_change_that_keeps_size_and_time_is_seen(checkout: Path) -> None:
    path = checkout / "stable-diffusion.cpp"
    time.sleep(0.02)  # git trusts sizes and times only if they are older than the index
    first = workspace.workspace(from_folder(checkout))
    stat = path.stat()
    path.write_bytes(b"CHANGED\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert workspace.workspace(from_folder(checkout)).base != first.base


def test_a_folder_that_is_no_checkout_is_taken_whole(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    git_repositories.repository(
        outer, {".gitignore": "upstream/\n"}
    )  # git itself would list no file in that folder
    git_repositories.write(outer / "upstream")
    git_repositories.write(
        outer / "upstream", {"model.bin": "", "thirdparty/.git": "gitdir: ../../../nowhere\n"}
    )
    before = git_repositories.listing(outer)
    tree = workspace.workspace(from_folder(outer / "upstream"))
    assert git_repositories.contents(tree.path) == expected() | {"model.bin": b""}
    assert git_repositories.listing(outer) == before


def test_a_file_that_became_a_folder_and_a_folder_that_became_a_link(checkout: Path) -> None:
    workspace.workspace(from_folder(checkout))
    (checkout / "new.cpp").unlink()
    git_repositories.write(checkout, {"new.cpp/inside.cpp": "inside\n", "docs2/lora.md": "moved\n"})
    (checkout / "docs").rmdir()
    (checkout / "docs").symlink_to("docs2")
    (checkout / "link.cpp").unlink()
    tree = workspace.workspace(from_folder(checkout))
    with cache.lock(tree.path):
        prepare(tree)
    assert (tree.path / "new.cpp" / "inside.cpp").read_text() == "inside\n"
    assert (tree.path / "docs").is_symlink()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it lacks CMakeLists.txt and include/stable-diffusion.h or stable-diffusion.h"),
        ({"stable-diffusion.h": ""}, "it lacks CMakeLists.txt;"),
        ({"CMakeLists.txt": ""}, "it lacks include/stable-diffusion.h"),
        (
            {"CMakeLists.txt": "", "stable-diffusion.h": "", ".gitmodules": "[submodule]\n\tpath = ggml\n"},
            "git submodule update --init",
        ),
    ],
)  # fmt: skip
def test_a_folder_that_is_something_else(tmp_path: Path, files: dict[str, str], words: str) -> None:
    (tmp_path / "folder").mkdir()
    git_repositories.write(tmp_path / "folder", files)
    with pytest.raises(SourceInvalid) as caught:
        workspace.workspace(from_folder(tmp_path / "folder"))
    assert words in caught.value.remedy
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match="no such folder"):
        workspace.workspace(git_repositories.revision(Folder(path=tmp_path / "absent")))


def test_a_folder_that_git_refuses(tmp_path: Path) -> None:
    git_repositories.write(tmp_path / "folder")
    (tmp_path / "folder" / ".git").write_text("gitdir: /nowhere/at/all\n")
    with pytest.raises(SourceInvalid, match="git cannot list the folder"):
        workspace.workspace(from_folder(tmp_path / "folder"))


CHILD = """
import os, signal, sys
from pathlib import Path
from sdcpp.git import Repository
from sdcpp.source import revision, workspace
word = sys.argv[2]
real = Repository.git
def git(self, *words, **more):
    done = real(self, *words, **more)
    if words[0] == word:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Repository.git = git
print(workspace.workspace(revision.from_folder(Path(sys.argv[1]))).base)
"""


def child(folder: Path, word: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, os.fspath(folder), word], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("word", ["init", "update-index", "commit-tree", "checkout-index", "update-ref"])
def test_killed_in_the_middle_it_is_whole_the_next_time(checkout: Path, tmp_path: Path, word: str) -> None:
    with child(checkout, word) as killed:
        assert killed.wait() == -signal.SIGKILL
    trees = tmp_path / "cache" / "trees"
    assert not [path for path in trees.iterdir() if path.is_dir() and path.suffix != ".partial"]
    tree = workspace.workspace(from_folder(checkout))
    assert git_repositories.git(tree.path, "status", "--porcelain", "--ignored") == ""
    assert not list(trees.glob(".*.partial"))


def test_killed_while_reading_a_folder_again(checkout: Path) -> None:
    first = workspace.workspace(from_folder(checkout))
    git_repositories.write(checkout, {"new.cpp": "newer\n"})
    (first.path / ".git" / "snapshot-index.lock").touch()
    assert workspace.workspace(from_folder(checkout)).base != first.base


def test_two_processes_at_once(checkout: Path) -> None:
    both = [child(checkout), child(checkout)]
    bases = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert bases == {workspace.workspace(from_folder(checkout)).base + "\n"}


def test_a_damaged_workspace_is_named(tmp_path: Path) -> None:
    tree = offline(tmp_path)
    shutil.rmtree(tree.path / ".git")
    with pytest.raises(SourceInvalid, match="workspace is damaged"):
        workspace.workspace(tree.revision)


def test_a_git_origin_keeps_its_url_out_of_the_way(tmp_path: Path) -> None:
    commit = git_repositories.repository(tmp_path / "upstream")
    tree = workspace.workspace(from_git(os.fspath(tmp_path / "upstream"), commit))
    assert isinstance(tree.revision.origin, Git)
    assert git_repositories.git(tree.path, "remote") == ""


def test_the_header_is_found_in_both_places(tmp_path: Path) -> None:
    with pytest.raises(HeaderUnsupported, match="no public header"):
        workspace.locate_header(tmp_path)
    (tmp_path / "stable-diffusion.h").touch()
    assert workspace.locate_header(tmp_path) == tmp_path / "stable-diffusion.h"
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "stable-diffusion.h").touch()
    assert workspace.locate_header(tmp_path) == tmp_path / "include" / "stable-diffusion.h"
