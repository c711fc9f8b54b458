"""Upstream's repository, for which local repositories with a submodule stand in."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from sdcpp.errors import NetworkUnavailable, SourceInvalid
from sdcpp.source import mirror, upstream, workspace
from sdcpp.source.revision import Mirrored
from tests.unit import git_repositories
from tests.unit.git_repositories import git


@pytest.fixture
def server(tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository that stands in for upstream's: it has a submodule, a tag, a branch and a pull request."""
    assert cache_folder
    git_repositories.with_submodule(tmp_path)
    for name in ("upstream", "ggml"):
        git(tmp_path / name, "config", "uploadpack.allowFilter", "true")
    folder = tmp_path / "upstream"
    monkeypatch.setenv(mirror.VARIABLE, os.fspath(folder))
    git(folder, "tag", "--annotate", "--message=release", "v1")
    return folder


def commit(folder: Path, text: str) -> str:
    """Commit another content of a file and return the commit."""
    (folder / "new.cpp").write_text(text, encoding="utf-8")
    git(folder, "add", "new.cpp")
    git(folder, "commit", "--quiet", f"--message={text}")
    return git(folder, "rev-parse", "HEAD")


def objects() -> set[str]:
    """Return the files in which the copies keep their objects."""
    root = upstream.mirror().path.parent
    return {os.fspath(path) for path in root.rglob("objects/**/*") if path.is_file()}


def test_the_default_branch_is_fetched_with_its_submodule(server: Path) -> None:
    found = upstream.find()
    head = git(server, "rev-parse", "HEAD")
    assert found.commit == head
    assert found.origin == Mirrored(url=os.fspath(server), commit=head)
    assert found.name == f"upstream-{head[:7]}"
    assert found.date == git(server, "log", "-1", "--format=%cs")
    tree = workspace.workspace(found)
    wanted = git_repositories.contents(server)
    assert git_repositories.contents(tree.path) == wanted
    assert tree.repository.names() == set(wanted)
    assert os.access(tree.path / "format-code.sh", os.X_OK)


def test_a_second_call_fetches_only_what_is_new(server: Path) -> None:
    first = upstream.find()
    workspace.workspace(first)
    before = objects()
    assert upstream.find() == first
    assert objects() == before
    commit(server, "second")
    second = upstream.find()
    tree = workspace.workspace(second)
    assert (tree.path / "new.cpp").read_text(encoding="utf-8") == "second"
    assert objects() > before
    assert [subject for _, _, subject in upstream.commits(str(first.commit), str(second.commit))] == [
        "second"
    ]
    assert upstream.is_ancestor(str(first.commit), str(second.commit))
    assert not upstream.is_ancestor(str(second.commit), str(first.commit))


def test_files_are_fetched_only_when_they_are_needed(server: Path) -> None:
    commit(server, "a file that no later commit has")
    git(server, "rm", "--quiet", "new.cpp")
    git(server, "commit", "--quiet", "--message=removed")
    workspace.workspace(upstream.find())
    answer = upstream.mirror().git("rev-list", "--objects", "--all", "--missing=print")
    missing = [line for line in answer.output.splitlines() if line.startswith("?")]
    assert missing == [f"?{git(server, 'rev-parse', 'HEAD~1:new.cpp')}"]
    older = workspace.workspace(upstream.find("main~1"))
    assert (older.path / "new.cpp").exists()


def test_a_server_without_partial_clones_serves_whole_ones(server: Path) -> None:
    for name in ("upstream", "ggml"):
        git(server.parent / name, "config", "--unset", "uploadpack.allowFilter")
    tree = workspace.workspace(upstream.find())
    assert git_repositories.contents(tree.path) == git_repositories.contents(server)


def test_a_submodule_that_moved_has_its_new_files(server: Path) -> None:
    old = workspace.workspace(upstream.find())
    ggml = server.parent / "ggml"
    commit(ggml, "new in ggml")
    git(server / "ggml", "pull", "--quiet", "origin", "main")
    git(server, "commit", "--quiet", "--all", "--message=sync: ggml")
    new = workspace.workspace(upstream.find())
    assert (new.path / "ggml" / "new.cpp").read_text(encoding="utf-8") == "new in ggml"
    assert not (old.path / "ggml" / "new.cpp").exists()


def test_names_are_those_of_the_server(server: Path) -> None:
    first = git(server, "rev-parse", "HEAD")
    git(server, "checkout", "--quiet", "-b", "feature/lora")
    branch = commit(server, "on a branch")
    git(server, "checkout", "--quiet", "--detach")
    pull = commit(server, "of a pull request")
    git(server, "update-ref", "refs/pull/7/head", pull)
    lost = commit(server, "of no branch")
    git(server, "checkout", "--quiet", "main")
    newest = commit(server, "newest")
    names = {
        "": newest,
        "main": newest,
        "main~1": first,
        "v1": first,
        "feature/lora": branch,
        "pr/7": pull,
        "refs/pull/7/head": pull,
        first[:8]: first,
        first: first,
        lost: lost,
    }
    assert {name: upstream.find(name).commit for name in names} == names
    git(server, "update-ref", "refs/pull/7/head", branch)
    assert upstream.find("pr/7").commit == branch, "a pull request that was changed"
    assert upstream.merge_base(upstream.find("pr/7"), upstream.find()).commit == first


@pytest.mark.parametrize("name", ["v9", "pr/8", "refs/heads/none", "f" * 40, "--help", "HEAD:docs"])
def test_an_unknown_name_is_refused(server: Path, name: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        upstream.find(name)
    assert caught.value.what == "upstream's repository has no such branch, tag, commit or pull request"
    assert caught.value.subject == f"{name} in {server}"


def test_a_branch_that_was_removed_or_rewritten_is_followed(server: Path) -> None:
    git(server, "branch", "old")
    commit(server, "to be rewritten")
    upstream.find("old")
    git(server, "branch", "--delete", "old")
    git(server, "commit", "--quiet", "--amend", "--message=rewritten")
    assert upstream.find().commit == git(server, "rev-parse", "HEAD")
    with pytest.raises(SourceInvalid, match="no such branch"):
        upstream.find("old")


def test_a_repository_that_does_not_answer_is_a_clear_error(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = upstream.find()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for url in (os.fspath(server.parent / "none"), f"http://127.0.0.1:{closed.getsockname()[1]}/x.git"):
            monkeypatch.setenv(mirror.VARIABLE, url)
            with pytest.raises(NetworkUnavailable, match="cannot be fetched") as caught:
                upstream.find()
            assert caught.value.subject == url
            assert mirror.VARIABLE in caught.value.remedy
    monkeypatch.setenv(mirror.VARIABLE, os.fspath(server))
    server.rename(server.with_name("gone"))
    server.mkdir()
    with pytest.raises(NetworkUnavailable):
        upstream.find()
    assert upstream.find(str(found.commit)) == found, "a commit that is here needs no network"
    with pytest.raises(NetworkUnavailable, match="files of a commit cannot be fetched"):
        workspace.workspace(found)


def test_an_interrupted_fetch_goes_on(server: Path) -> None:
    copy = upstream.mirror()
    ggml = server.parent / "ggml"
    ggml.rename(ggml.with_name("unreachable"))
    found = upstream.find()
    with pytest.raises(NetworkUnavailable):
        workspace.workspace(found)
    kept = objects()
    # What a killed git leaves.
    (copy.path / ".git" / "shallow.lock").touch()
    (copy.path / ".git" / "packed-refs.lock").touch()
    (copy.path / ".git" / "objects" / "pack" / "tmp_pack_1").write_bytes(b"PACK")
    (copy.path / ".git" / "export-index.lock").touch()
    ggml.with_name("unreachable").rename(ggml)
    commit(server, "second")
    tree = workspace.workspace(upstream.find())
    assert git_repositories.contents(tree.path) == git_repositories.contents(server)
    assert kept < objects(), "what was fetched before is still there"
    assert not list(copy.path.rglob("*.lock"))
    assert not list(copy.path.rglob("tmp_pack_*"))


def test_a_damaged_copy_is_named(server: Path) -> None:
    upstream.find()
    path = upstream.mirror().path
    for pack in path.rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])
    commit(server, "second")
    with pytest.raises(SourceInvalid, match="the copy may be damaged") as caught:
        upstream.find()
    assert caught.value.subject == os.fspath(path)
    assert "remove that folder" in caught.value.remedy
    shutil.rmtree(path)
    assert upstream.find().commit == git(server, "rev-parse", "HEAD")


def test_revisions_between_two_commits_are_those_of_first_parents(server: Path) -> None:
    first = git(server, "rev-parse", "HEAD")
    git(server, "checkout", "--quiet", "-b", "side")
    commit(server, "on the side")
    git(server, "checkout", "--quiet", "main")
    git(server, "merge", "--quiet", "--no-ff", "--message=merge", "side")
    newest = commit(server, "newest")
    found = upstream.between("v1", "main")
    assert [each.commit for each in found] == [first, git(server, "rev-parse", "HEAD~1"), newest]
    assert all(each.date for each in found)
    assert upstream.between("main", "v1") == found
    git(server, "checkout", "--quiet", "--orphan", "other")
    git(server, "commit", "--quiet", "--message=other")
    with pytest.raises(SourceInvalid, match="neither commit is an ancestor"):
        upstream.between("v1", "other")
    with pytest.raises(SourceInvalid, match="no ancestor in common"):
        upstream.merge_base(upstream.find("v1"), upstream.find("other"))


def test_only_upstreams_own_page_has_an_address(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server
    assert upstream.compare_url("a", "b") == ""
    monkeypatch.delenv(mirror.VARIABLE)
    assert upstream.compare_url("a", "b") == f"{upstream.URL}/compare/a...b"
