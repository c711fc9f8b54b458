from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdcpp import cache
from sdcpp.errors import PatchConflict
from sdcpp.patching import patch_file
from sdcpp.patching import prepared as preparing
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.prepared import Prepared
from sdcpp.patching.state import State, find_states
from sdcpp.source import workspace
from sdcpp.source.revision import Folder, from_folder
from tests.unit import git_repositories
from tests.unit.patching.author import Author, Edit, line


def prepare(tree: workspace.Tree, *patches: Patch) -> Prepared:
    with cache.lock(tree.path):
        return preparing.prepare(tree, patches)


def shown(tree: workspace.Tree) -> dict[str, tuple[int, int, int, int]]:
    """Return mode, size, time and inode of the files of a workspace, except git's own."""
    found = git_repositories.listing(tree.path)
    return {name: stat for name, stat in found.items() if Path(name).parts[0] != ".git"}


def differing(before: dict[str, tuple[int, int, int, int]], tree: workspace.Tree) -> set[str]:
    """Return the names of the files that were changed, created or removed."""
    after = shown(tree)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def applied(prepared: Prepared) -> tuple[Patch, ...]:
    return tuple(entry.patch for entry in prepared.states if entry.state is State.APPLIES)


def clean(tree: workspace.Tree) -> bool:
    return git_repositories.git(tree.path, "status", "--porcelain", "--ignored") == ""


def names(tree: workspace.Tree) -> set[str]:
    """Return the names in the folder that contains a workspace."""
    return {path.name for path in tree.path.parent.iterdir() if path.suffix != ".lock"}


def test_a_patch_applies_and_goes_again(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    pristine = git_repositories.contents(tree.path)
    patched = prepare(tree, made)
    assert [(entry.patch, entry.state, entry.detail) for entry in patched.states] == [
        (made, State.APPLIES, "")
    ]
    assert applied(patched) == (made,)
    assert patched.path == tree.path
    assert "better" in (tree.path / "stable-diffusion.cpp").read_text()
    assert clean(tree)
    assert git_repositories.git(tree.path, "rev-parse", "HEAD") == patched.commit
    assert git_repositories.git(tree.path, "log", "-1", "--format=%s by %an") == "fix: better by Somebody"
    authored, committed = git_repositories.git(tree.path, "log", "-1", "--format=%at %ct").split()
    assert authored == committed
    assert git_repositories.git(tree.path, "describe", "--tags", "--dirty").startswith("master-1-abc-1-g")
    assert prepare(tree).commit == tree.base
    assert git_repositories.contents(tree.path) == pristine
    assert names(tree) == {tree.path.name}


def test_applying_twice_is_harmless_and_touches_nothing(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    first = prepare(tree, made)
    before = git_repositories.listing(tree.path)
    assert prepare(tree, made) == first
    after = git_repositories.listing(tree.path)
    assert {
        name for name in before if before[name] != after.get(name) and not name.startswith(".git")
    } == set()


def test_only_the_files_that_differ_are_written(tree: workspace.Tree, author: Author) -> None:
    first = author.patch("first", {"stable-diffusion.cpp": line(10, "first\n"), "new.cpp": lambda _: "new\n"})
    second = author.patch("second", {"CMakeLists.txt": lambda old: old + "second\n"})

    def changed(*patches: Patch) -> set[str]:
        before = shown(tree)
        prepare(tree, *patches)
        return differing(before, tree)

    assert changed(first) == {"stable-diffusion.cpp", "new.cpp"}
    assert changed(first, second) == {"CMakeLists.txt"}  # not the files of the first patch
    assert changed(first) == {"CMakeLists.txt"}
    assert changed() == {"stable-diffusion.cpp", "new.cpp"}


def test_commit_ids_are_the_same_everywhere(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    first = prepare(tree, made).commit
    for ref in git_repositories.git(tree.path, "for-each-ref", "--format=%(refname)", "refs/series").split():
        git_repositories.git(tree.path, "update-ref", "-d", ref)
    assert prepare(tree, made).commit == first


def test_patches_stand_on_each_other(tree: workspace.Tree, author: Author) -> None:
    first = author.patch("first", {"stable-diffusion.cpp": line(30, "first\n")})
    second = author.patch("second", {"stable-diffusion.cpp": lambda old: old.replace("first", "second")})
    assert applied(prepare(tree, first, second)) == (first, second)
    assert "second\n" in (tree.path / "stable-diffusion.cpp").read_text()
    with pytest.raises(PatchConflict, match=r"second\.patch"):
        prepare(tree, second)


@pytest.mark.parametrize(
    "edits",
    [
        {"windows.cpp": lambda old: old.replace("line 5\r", "windows\r")},
        {"new/file.cpp": lambda _old: "new\n"},
        {"docs/lora.md": None},
        {"no-line-end.txt": lambda _old: "another end"},
        {"stable-diffusion.cpp": lambda old: old.replace("line 9\n", "trailing space \n")},
        {"stable-diffusion.cpp": lambda old: old + "--- a line like a header\n"},
        {"ignored.bin": lambda _old: "new\n"},
    ],
    ids=["CR", "new file", "removed file", "no line end", "trailing space", "odd line", "ignored"],
)  # fmt: skip
def test_every_kind_of_change(tree: workspace.Tree, author: Author, edits: dict[str, Edit | None]) -> None:
    made = author.patch("kind-of-change", edits)
    assert applied(prepare(tree, made)) == (made,)
    assert git_repositories.contents(tree.path) == git_repositories.contents(author.path)
    assert set(made.files) == set(edits)
    prepare(tree)
    assert {name: text.encode() for name, text in git_repositories.TREE.items()} == git_repositories.contents(
        tree.path
    )


def test_a_patch_may_rename_a_file(tree: workspace.Tree, author: Author) -> None:
    (author.path / "docs" / "lora.md").rename(author.path / "docs" / "adapter.md")
    made = author.patch("rename-file", {})
    assert set(made.files) == {"docs/lora.md", "docs/adapter.md"}
    prepare(tree, made)
    assert git_repositories.contents(tree.path) == git_repositories.contents(author.path)


def test_a_plain_diff_of_the_users(tree: workspace.Tree, author: Author, tmp_path: Path) -> None:
    git_repositories.write(author.path, {"stable-diffusion.cpp": "line 1\n"})
    path = tmp_path / "mine.diff"
    path.write_text(git_repositories.git(author.path, "diff") + "\n")
    made = patch_file.read(path)
    assert (made.name, made.subject, made.revisions) == ("mine", "mine.diff", ())
    assert applied(prepare(tree, made)) == (made,)
    assert (tree.path / "stable-diffusion.cpp").read_text() == "line 1\n"
    assert git_repositories.git(tree.path, "log", "-1", "--format=%s") == "mine.diff"


def test_a_patch_that_went_through_windows(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    made.path.write_bytes(made.path.read_bytes().replace(b"\n", b"\r\n"))
    assert applied(prepare(tree, patch_file.read(made.path)))[0].subject == "fix: better"


def test_a_patch_that_upstream_has_is_not_applied(author: Author, tmp_path: Path) -> None:
    before = author.patch("before", {"CMakeLists.txt": lambda old: old + "before\n"})
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    author.patch("after", {"stable-diffusion.cpp": line(1, "moves the rest\n\n\n")})
    origin = git_repositories.sdist(tmp_path / "cache" / "downloads", {
        name: text.decode() for name, text in git_repositories.contents(author.path).items()
    })  # fmt: skip
    tree = workspace.workspace(git_repositories.revision(origin))
    found = prepare(tree, before, made)
    assert [entry.state for entry in found.states] == [State.UPSTREAM, State.UPSTREAM]
    assert found.commit == tree.base


def spoil(made: Patch) -> Patch:
    """Change one line of context in a patch, so that it no longer matches the source."""
    text = made.path.read_text()
    assert text.count("\n line 29\n") == 1
    made.path.write_text(text.replace("\n line 29\n", "\n line twenty-nine\n"))
    return patch_file.read(made.path)


def test_a_changed_context_line_is_a_conflict_that_shows_the_hunk(
    tree: workspace.Tree, author: Author
) -> None:
    good = author.patch("good", {"CMakeLists.txt": lambda old: old + "good\n"})
    bad = spoil(author.patch("bad", {
        "stable-diffusion.cpp": lambda old: line(30, "better\n")(line(50, "also\n")(old))
    }))  # fmt: skip
    prepare(tree, good)
    before = shown(tree)
    found = find_states(tree, [good, bad])
    assert [entry.state for entry in found] == [State.APPLIES, State.CONFLICTS]
    detail = found[1].detail.split("\n")
    assert detail[0] == "stable-diffusion.cpp, line 27: this hunk does not apply"
    assert {" line twenty-nine", "-line 30", "+better"} <= set(detail)
    assert "+also" not in detail  # the other hunk applies
    assert differing(before, tree) == set()

    git_repositories.write(tree.path, {"windows.cpp": "damaged", "left.cpp": ""})
    with pytest.raises(PatchConflict) as caught:
        prepare(tree, good, bad)
    assert "bad.patch on small" in caught.value.subject
    assert "+better" in caught.value.remedy
    assert git_repositories.contents(tree.path)["CMakeLists.txt"].endswith(b"good\n")  # unchanged
    assert clean(tree)
    assert names(tree) == {tree.path.name}
    assert prepare(tree).commit == tree.base


def test_every_hunk_that_conflicts_is_shown_with_its_file(tree: workspace.Tree, author: Author) -> None:
    author.patch("elsewhere", {"absent.cpp": lambda _old: "only here\n"})
    bad = author.patch("bad", {"absent.cpp": lambda _old: "changed\n"})
    with pytest.raises(PatchConflict) as caught:
        prepare(tree, bad)
    assert "absent.cpp, line 1: the file does not exist" in caught.value.remedy
    already = author.patch("already", {"new.cpp": lambda _old: "mine\n"})
    folder = git_repositories.write(
        author.path.parent / "taken", {**git_repositories.TREE, "new.cpp": "theirs\n"}
    )
    taken = workspace.workspace(git_repositories.revision(Folder(path=folder)))
    with pytest.raises(PatchConflict, match=r"new\.cpp"):
        prepare(taken, already)


def test_what_git_am_alone_refuses_is_a_conflict_too(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    mail = made.mail.replace(b"@@ -27,7 +27,7 @@", b"@@ -27,70 +27,70 @@")
    broken = Patch(**{name: getattr(made, name) for name in Patch.__slots__} | {"mail": mail})
    with pytest.raises(PatchConflict, match="git am says"):
        prepare(tree, broken)
    assert clean(tree)
    assert names(tree) == {tree.path.name}
    assert applied(prepare(tree, made)) == (made,)


def test_a_damaged_workspace_is_restored(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    undisturbed = prepare(tree, made)
    wanted = git_repositories.contents(tree.path)
    untouched = git_repositories.listing(tree.path)["windows.cpp"]
    git_repositories.write(tree.path, {"CMakeLists.txt": "damaged", "left/over.cpp": "", "left.bin": ""})
    (tree.path / "docs" / "lora.md").unlink()
    for name in ("index.lock", "HEAD.lock"):
        (tree.path / ".git" / name).touch()
    am_worktree = tree.path.with_name(f".{tree.path.name}.am")
    git_repositories.write(am_worktree, {"left/over.cpp": ""})
    assert prepare(tree, made) == undisturbed
    assert git_repositories.contents(tree.path) == wanted
    assert clean(tree)
    assert git_repositories.listing(tree.path)["windows.cpp"] == untouched


def test_a_restored_backup_is_not_written_again(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    prepare(tree, made)
    copy = tree.path.with_name("copy")
    shutil.copytree(tree.path, copy, symlinks=True)
    shutil.rmtree(tree.path)
    copy.rename(tree.path)  # other inodes and change times, the same content
    before = shown(tree)
    prepare(tree, made)
    assert differing(before, tree) == set()


CHILD = """
import os, signal, sys
from pathlib import Path
from sdcpp import cache
from sdcpp.git import Repository
from sdcpp.patching import patch_file, prepared
from sdcpp.source import revision, workspace
folder, patch, word, when = sys.argv[1:]
real = Repository.git
def git(self, *words, **more):
    if words[0] == word and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    done = real(self, *words, **more)
    if words[0] == word:
        if word == "am" and when == "halfway":
            (self.folder.resolve().parent / "stable-diffusion.cpp").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    return done
if word:
    Repository.git = git
tree = workspace.workspace(revision.from_folder(Path(folder)))
with cache.lock(tree.path):
    print(prepared.prepare(tree, [patch_file.read(Path(patch))]).commit)
"""


def child(folder: Path, made: Patch, word: str = "", when: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, os.fspath(folder), os.fspath(made.path), word, when],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("word", "when"),
    [
        ("worktree", "after"),
        ("am", "before"),
        ("am", "after"),
        ("am", "halfway"),
        ("update-ref", "after"),
        ("checkout", "before"),
        ("checkout", "after"),
        ("clean", "before"),
    ],
)
def test_killed_in_the_middle_it_is_whole_the_next_time(
    tmp_path: Path, author: Author, word: str, when: str
) -> None:
    folder = git_repositories.write(tmp_path / "folder")
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    with child(folder, made, word, when) as killed:
        assert killed.wait() == -signal.SIGKILL
    tree = workspace.workspace(from_folder(folder))
    left = git_repositories.contents(tree.path)
    assert left in (
        git_repositories.contents(folder),
        git_repositories.contents(author.path),
    )  # never partly patched
    assert applied(prepare(tree, made)) == (made,)
    assert git_repositories.contents(tree.path) == git_repositories.contents(author.path)
    assert clean(tree)
    assert not tree.path.with_name(f".{tree.path.name}.am").exists()


def test_two_processes_at_once(tmp_path: Path, author: Author) -> None:
    folder = git_repositories.write(tmp_path / "folder")
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    both = [child(folder, made), child(folder, made)]
    commits = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert commits[0] == commits[1] != ""
