"""Tests of git in a clone of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.errors import SourceInvalid
from sdcpp.patching.clone import Clone, open_clone, target
from tests.unit.git_repositories import git
from tests.unit.patching.upstream import Upstream


def test_only_the_top_folder_of_a_checkout_is_a_clone(upstream: Upstream, tmp_path: Path) -> None:
    assert open_clone(upstream.path).path == upstream.path
    for folder in (upstream.path / "docs", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceInvalid, match="not the top folder of a git checkout"):
            open_clone(folder)


def test_git_must_know_who_the_user_is(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_COMMITTER_NAME", raising=False)
    git(upstream.path, "config", "user.useConfigOnly", "true")
    git(upstream.path, "config", "--unset", "user.email")
    with pytest.raises(SourceInvalid, match=r"git config --global user\.name"):
        open_clone(upstream.path)


def test_a_target_is_a_commit_with_upstreams_source(upstream: Upstream) -> None:
    assert target(upstream.clone, "HEAD") == upstream.first
    with pytest.raises(SourceInvalid, match="the clone has no commit nowhere"):
        target(upstream.clone, "nowhere")
    upstream.commit({"CMakeLists.txt": None})
    with pytest.raises(SourceInvalid, match=r"HEAD is not the source of stable-diffusion\.cpp"):
        target(upstream.clone, "HEAD")


def test_hooks_and_settings_of_the_user_do_not_change_a_patch(upstream: Upstream) -> None:
    hook = upstream.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (upstream.path / "CMakeLists.txt").write_text("new\n")
    upstream.clone.check_git("commit", "--quiet", "--all", "--message=text\n\n# a line")
    assert git(upstream.path, "log", "-1", "--format=%B|%cn") == "text\n\n# a line\n|the hook's user"


def test_an_error_has_the_command_and_gits_words(upstream: Upstream) -> None:
    with pytest.raises(SourceInvalid, match=r"git checkout failed.*\n.*git says: .*nowhere"):
        upstream.clone.check_git("-c", "a.b=c", "checkout", "nowhere")


def test_a_worktree_shares_gits_folder_with_the_checkout(upstream: Upstream, tmp_path: Path) -> None:
    upstream.clone.check_git("worktree", "add", "--quiet", "--detach", tmp_path / "tree")
    worktree = Clone(path=tmp_path / "tree")
    assert worktree.common_folder == upstream.clone.common_folder == upstream.path / ".git"
    assert worktree.folder == upstream.path / ".git" / "worktrees" / "tree"
    assert worktree.unmerged() == ()
