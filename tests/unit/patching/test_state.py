"""Tests of trying patches on a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.patching import patch_file
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import State, find_states, patches_to_apply
from sdcpp.source import workspace
from sdcpp.source.revision import Folder
from tests.unit import git_repositories
from tests.unit.patching.author import Author, Edit, line

#: A change of one line.
BETTER: dict[str, Edit | None] = {"stable-diffusion.cpp": line(30, "better\n")}


def test_where_both_directions_fit_the_nearer_one_counts(tmp_path: Path, author: Author) -> None:
    # With one line of context, git could add the line in another place, where the same lines are.
    text = "".join(f"open\nclose\nfiller {number}\n" * 3 for number in range(9))
    git_repositories.write(author.path, {"stable-diffusion.cpp": text})
    git_repositories.git(author.path, "commit", "--quiet", "--all", "--message=text")
    middle = text.index("filler 4")
    made = author.patch(
        "add-call",
        {
            "stable-diffusion.cpp": lambda old: (
                old[:middle] + old[middle:].replace("open\n", "open\ncall\n", 1)
            )
        },
        context=1,
    )
    for files, state in (
        ({"stable-diffusion.cpp": text}, State.APPLIES),
        ({"stable-diffusion.cpp": (author.path / "stable-diffusion.cpp").read_text()}, State.UPSTREAM),
    ):
        folder = git_repositories.write(tmp_path / state.name, {**git_repositories.TREE, **files})
        tree = workspace.workspace(git_repositories.revision(Folder(path=folder)))
        assert [entry.state for entry in find_states(tree, [made])] == [state]


@pytest.mark.parametrize(
    "revisions", ["all", "generation B", "generation  A,generation B", "small", "2026-05, small"]
)
def test_a_patch_is_for_some_revisions(tree: workspace.Tree, author: Author, revisions: str) -> None:
    made = author.patch("better", BETTER, f"Upstream-Status: Pending\nRevisions: {revisions}")
    (found,) = find_states(tree, [made])
    assert (found.state, found.required) == (State.APPLIES, True)
    assert patches_to_apply([found]) == (made,)


@pytest.mark.parametrize("revisions", ["generation A, generation C", "2026-05"])
def test_a_patch_without_a_form_for_a_revision_that_the_series_names(
    tree: workspace.Tree, author: Author, revisions: str
) -> None:
    other = author.patch("other", {"CMakeLists.txt": lambda old: old + "other\n"}, "Revisions: small")
    made = author.patch("better", BETTER, f"Revisions: {revisions}")
    found = find_states(tree, [other, made])
    assert [entry.state for entry in found] == [State.APPLIES, State.OTHER]
    assert "this is small, generation B" in found[1].detail
    assert patches_to_apply(found) == (other,)


def forms(author: Author, *edits: tuple[str, Edit]) -> list[Patch]:
    """Return the forms of one patch, each made on the tree as it is and with the name of a revision."""
    made = []
    for revision, edit in edits:
        patch = author.patch(revision, {"stable-diffusion.cpp": edit}, f"Revisions: {revision}")
        made.append(patch_file.read(patch.path, "better"))
        git_repositories.git(author.path, "reset", "--quiet", "--hard", "HEAD~1")
    return made


def test_on_another_source_each_form_is_tried_the_newest_first(tree: workspace.Tree, author: Author) -> None:
    old, new = forms(author, ("2025-12", line(30, "better\n")), ("2026-05", line(30, "best\n")))
    (found,) = find_states(tree, [old, new])
    assert (found.state, found.patch, found.required) == (State.APPLIES, new, False)
    stale = patch_file.parse(new.mail.replace(b"-line 30", b"-line thirty"), new.path, "better")
    (found,) = find_states(tree, [old, stale])
    assert (found.state, found.patch) == (State.APPLIES, old)


def test_on_another_source_a_conflict_is_told_and_not_applied(tree: workspace.Tree, author: Author) -> None:
    (new,) = forms(author, ("2026-05", line(30, "best\n")))
    stale = patch_file.parse(new.mail.replace(b" line 29\n", b" line twenty-nine\n"), new.path, "better")
    (found,) = find_states(tree, [stale])
    assert (found.state, found.required) == (State.CONFLICTS, False)
    assert "+best" in found.detail
    assert patches_to_apply([found]) == ()


def test_on_another_source_the_code_may_be_gone(tree: workspace.Tree, author: Author) -> None:
    (new,) = forms(author, ("2026-05", line(30, "best\n")))
    stale = patch_file.parse(new.mail.replace(b"-line 30\n", b"-line thirty\n"), new.path, "better")
    (found,) = find_states(tree, [stale])
    assert (found.state, found.detail) == (
        State.CODE_GONE,
        "the source has none of the lines that it changes",
    )
    assert patches_to_apply([found]) == ()


def test_on_another_source_the_change_may_be_there(author: Author, tmp_path: Path) -> None:
    made = author.patch("better", BETTER, "Revisions: 2026-05")
    folder = git_repositories.write(
        tmp_path / "theirs", {n: text.decode() for n, text in git_repositories.contents(author.path).items()}
    )
    theirs = workspace.workspace(git_repositories.revision(Folder(path=folder)))
    (found,) = find_states(theirs, [made])
    assert (found.state, found.required) == (State.UPSTREAM, False)


def test_white_space_counts(tree: workspace.Tree, author: Author) -> None:
    made = author.patch("better", {"stable-diffusion.cpp": line(30, "better\n")})
    made.path.write_text(made.path.read_text().replace("\n line 29\n", "\n line  29\n"))
    assert [entry.state for entry in find_states(tree, [patch_file.read(made.path)])] == [State.CONFLICTS]
