"""Tests of carrying patches onto a clone of upstream."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdcpp.errors import PatchConflict, SourceInvalid
from sdcpp.patching import port_branch, port_state
from sdcpp.patching.form_commits import FormCommits
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.port import Port
from sdcpp.patching.port_state import Result
from tests.unit import git_repositories
from tests.unit.git_repositories import git
from tests.unit.patching.author import Author
from tests.unit.patching.upstream import Upstream, form, replacing

FILE = "stable-diffusion.cpp"


@pytest.fixture
def patches(author: Author) -> list[Patch]:
    """Return two patches of one file."""
    return [
        form(author, "fix-thirty", {FILE: replacing("line 30", "better")}),
        form(author, "fix-forty", {FILE: replacing("line 40", "best")}),
    ]


def start(upstream: Upstream, series: FormCommits, branch: str = "fixes", onto: str = "HEAD") -> Port:
    folder = upstream.path.with_name(branch)
    state = port_branch.start(upstream.clone, series.names(), branch=branch, onto=onto, folder=folder)
    return Port(state=state, series=series, clang_format=None)


def again(port: Port) -> Port:
    """Return the port as another process loads it."""
    state = port_branch.unfinished(port.state.clone, port.series.patches)
    return Port(state=state, series=port.series, clang_format=None)


def results(port: Port) -> list[Result | None]:
    return [step.result for step in port.state.steps]


def stopped(upstream: Upstream, patches: Sequence[Patch], branch: str = "fixes") -> Port:
    """Return a port that stopped at the conflict of the first patch, whose line upstream has changed as well."""
    upstream.commit({FILE: replacing("line 30", "other")})
    port = start(upstream, upstream.series(patches), branch)
    with pytest.raises(PatchConflict, match=r"fix-thirty .*stable-diffusion\.cpp in "):
        list(port.carry())
    return again(port)


def resolve(port: Port, add: bool = True) -> None:
    place = port.state.folder / FILE
    text = place.read_text()
    place.write_text(text[: text.index("<<<<<<<")] + "other and better\n" + text[text.index("line 31") :])
    if add:
        git(port.state.folder, "add", FILE)


def test_the_patches_follow_a_moved_file_and_become_commits(
    upstream: Upstream, patches: list[Patch], tmp_path: Path
) -> None:
    base = upstream.commit({FILE: replacing("line 10", "ten")})
    base = upstream.commit(moves={FILE: "src/core.cpp"})
    port = start(upstream, upstream.series(patches))
    assert [step.name for step in port.carry()] == ["fix-thirty", "fix-forty"]
    port.finish()
    assert results(port) == [Result.CARRIED, Result.CARRIED]
    folder = tmp_path / "fixes"
    text = (folder / "src" / "core.cpp").read_text()
    assert "ten\n" in text
    assert "line 29\nbetter\nline 31\n" in text
    assert "line 39\nbest\nline 41\n" in text
    assert git(folder, "rev-parse", "HEAD~2") == base
    shown = git(upstream.path, "log", "-1", "--format=%an <%ae>|%cn|%B", "fixes~1").split("|")
    assert shown == ["Somebody <somebody@example.org>", "the hook's user", "fix: fix-thirty-old\n\nWhy so."]
    assert git(upstream.path, "for-each-ref", "refs/sdcpp") == ""
    assert port_state.load(upstream.clone) is None


def test_the_users_checkout_stays_as_it_is(upstream: Upstream, patches: list[Patch]) -> None:
    (upstream.path / FILE).write_text("uncommitted\n")
    (upstream.path / "staged.txt").write_text("staged\n")
    git(upstream.path, "add", "staged.txt")
    (upstream.path / "new.txt").write_text("untracked\n")

    def state() -> tuple[object, ...]:
        files = {
            n: f for n, f in git_repositories.listing(upstream.path).items() if not n.startswith(".git/")
        }
        files.pop(".git")
        return files, git(upstream.path, "status", "--porcelain"), git(upstream.path, "rev-parse", "HEAD")

    before = state()
    list(start(upstream, upstream.series(patches)).carry())
    assert state() == before
    assert git(upstream.path, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_conflict_stops_as_git_does_and_the_port_goes_on(upstream: Upstream, patches: list[Patch]) -> None:
    port = stopped(upstream, patches)
    folder = port.state.folder
    assert "<<<<<<< HEAD" in (folder / FILE).read_text()
    assert git(folder, "rev-parse", "CHERRY_PICK_HEAD")
    with pytest.raises(PatchConflict):  # nothing was done
        port.resume()
    resolve(port, add=False)
    with pytest.raises(PatchConflict):
        port.resume()
    git(folder, "add", FILE)
    with (folder / FILE).open("a") as file:
        file.write("not staged\n")
    with pytest.raises(SourceInvalid, match="not staged"):
        port.resume()
    git(folder, "add", FILE)
    port.resume()
    list(port.carry())
    assert results(port) == [Result.RESOLVED, Result.CARRIED]
    assert git(folder, "log", "-1", "--format=%an|%B", "HEAD~1") == "Somebody|fix: fix-thirty-old\n\nWhy so."
    assert "other and better\n" in git(folder, "show", f"HEAD~1:{FILE}") + "\n"


def test_a_resolution_is_remembered_in_the_next_port(upstream: Upstream, patches: list[Patch]) -> None:
    port = stopped(upstream, patches)
    resolve(port)
    port.resume()
    list(port.carry())
    port.finish()
    second = start(upstream, upstream.series(patches), "second", onto="main")
    list(second.carry())
    assert results(second) == [Result.REMEMBERED, Result.CARRIED]
    assert git(upstream.path, "diff", "fixes", "second") == ""


def test_a_patch_may_be_skipped(upstream: Upstream, patches: list[Patch]) -> None:
    port = stopped(upstream, patches)
    resolve(port)
    port.skip()
    list(port.carry())
    assert results(port) == [Result.SKIPPED, Result.CARRIED]
    assert "other\nline 31" in (port.state.folder / FILE).read_text()
    assert git(port.state.folder, "rev-list", "--count", "main..") == "1"


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (["-c", "core.editor=true", "cherry-pick", "--continue"], Result.RESOLVED),
        (["cherry-pick", "--skip"], Result.SKIPPED),
        (["checkout", "--quiet", "--ours", FILE], Result.SKIPPED),
    ],
)
def test_the_user_may_end_a_step_with_git(
    upstream: Upstream, patches: list[Patch], words: list[str], result: Result
) -> None:
    port = stopped(upstream, patches)
    if result is Result.RESOLVED:
        resolve(port)
    git(port.state.folder, *words)
    git(port.state.folder, "add", FILE)
    port.resume()
    list(port.carry())
    assert results(port) == [result, Result.CARRIED]


def test_an_interrupted_port_goes_on(upstream: Upstream, patches: list[Patch]) -> None:
    series = upstream.series(patches)
    port = start(upstream, series)
    next(port.carry())
    commit = series.commit(patches[1])
    git(port.state.folder, "cherry-pick", "--no-gpg-sign", commit)  # done, but not recorded
    port = again(port)
    port.resume()
    assert results(port) == [Result.CARRIED, Result.CARRIED]
    port.resume()
    assert list(port.carry()) == []


def test_a_port_that_was_interrupted_in_a_conflict_tries_the_patch_again(
    upstream: Upstream, patches: list[Patch]
) -> None:
    port = stopped(upstream, patches)
    port.state.stopped = False
    port.resume()
    with pytest.raises(PatchConflict):
        list(port.carry())


def test_what_upstream_has_is_left_out(upstream: Upstream, patches: list[Patch]) -> None:
    upstream.commit({FILE: replacing("line 30", "better")})
    upstream.commit(moves={FILE: "src/core.cpp"})
    port = start(upstream, upstream.series(patches))
    list(port.carry())
    assert results(port) == [Result.UPSTREAM, Result.CARRIED]


def test_a_change_with_newer_ones_beside_it_is_there_as_well(upstream: Upstream, author: Author) -> None:
    author_patch = form(author, "add-one", {FILE: lambda text: text.replace("line 30\n", "line 30\nadded\n")})
    upstream.commit({FILE: lambda text: text.replace("line 30\n", "line 30\nadded\n") + "more\n"})
    port = start(upstream, upstream.series([author_patch]))
    list(port.carry())
    assert results(port) == [Result.UPSTREAM]


def test_a_patch_whose_code_is_gone_is_left_out(upstream: Upstream, patches: list[Patch]) -> None:
    upstream.commit({FILE: lambda _: "all is new\n"})
    port = start(upstream, upstream.series(patches))
    list(port.carry())
    assert results(port) == [Result.CODE_GONE, Result.CODE_GONE]
    assert git(port.state.folder, "status", "--porcelain") == ""


def test_an_older_form_is_tried_before_the_port_stops(upstream: Upstream, author: Author) -> None:
    older = form(author, "fix-thirty", {FILE: replacing("line 30", "better")})
    git(author.path, "reset", "--quiet", "--hard", "HEAD~1")
    newer = form(author, "fix-thirty", {FILE: replacing("line 50", "better")}, "new")
    upstream.commit({FILE: replacing("line 50", "other")})
    port = start(upstream, upstream.series([older, newer], "new"))
    list(port.carry())
    assert [(step.result, step.form) for step in port.state.steps] == [(Result.CARRIED, "old.patch")]
    assert "line 29\nbetter\nline 31\n" in (port.state.folder / FILE).read_text()


def test_a_patch_without_a_form_since_an_earlier_revision_is_not_needed(
    upstream: Upstream, author: Author, patches: list[Patch]
) -> None:
    git(author.path, "reset", "--quiet", "--hard", "HEAD~2")
    newer = form(author, "fix-fifty", {FILE: replacing("line 50", "better")}, "new")
    port = start(upstream, upstream.series([*patches, newer], "new"))
    list(port.carry())
    assert results(port) == [Result.NOT_NEEDED, Result.NOT_NEEDED, Result.CARRIED]
    assert port.state.steps[0].detail == "the series has no form of it since new"


def test_the_lines_of_each_commit_are_formatted(
    upstream: Upstream, patches: list[Patch], tmp_path: Path
) -> None:
    if os.name == "nt":
        pytest.skip("the stand-in for clang-format is a shell script")
    program = tmp_path / "clang-format"
    program.write_text(
        "#!/bin/sh\nfor name; do :; done\nsed -i 's/^better$/  better/; s/^best$/  best/' $name\n"
    )
    program.chmod(0o755)
    (upstream.path / ".clang-format").write_text("BasedOnStyle: Chromium\n")
    git(upstream.path, "add", ".clang-format")
    upstream.commit()
    port = start(upstream, upstream.series(patches))
    list(Port(state=port.state, series=port.series, clang_format=program).carry())
    folder = port.state.folder
    assert "\n+  better\n" in git(folder, "show", "HEAD~1")
    assert "\n+  best\n" in git(folder, "show", "HEAD")
    assert port.state.head == git(folder, "rev-parse", "HEAD")
