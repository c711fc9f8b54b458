from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cli.main import main
from sdcpp import project
from sdcpp.errors import OutputRefused, PatchConflict, SourceInvalid
from sdcpp.patching import formatting, series
from sdcpp.source import revision
from tests.unit.git_repositories import git
from tests.unit.patching.author import Author
from tests.unit.patching.upstream import Upstream, form, replacing

FILE = "stable-diffusion.cpp"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """Return a clone of upstream; the project has a series of two patches, of which the first one conflicts there."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    author, made = Author(tmp_path / "author"), Upstream(tmp_path / "upstream")
    patches = [
        form(author, "fix-thirty", {FILE: replacing("line 30", "better")}),
        form(author, "fix-forty", {FILE: replacing("line 40", "best")}),
    ]
    made.commit({FILE: replacing("line 30", "other")})
    known = made.known()
    monkeypatch.setattr(series, "load", lambda: patches)
    monkeypatch.setattr(revision, "load", lambda _=project.REVISIONS: {r.name: r for r in known})
    monkeypatch.setattr(formatting, "program", lambda: None)
    return made


def test_a_conflict_ends_the_command_and_a_resolution_lets_it_go_on(
    upstream: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone, exported = str(upstream.path), tmp_path / "ported"
    assert (
        main(["patch", "port", clone, "--export", str(exported), "--name", "new"]) == PatchConflict.exit_code
    )
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "patch fix-thirty (old.patch) conflicts, after 0 of 2 patches are done" in shown.err
    assert f"sdcpp patch port {clone} --continue" in shown.err
    assert main(["patch", "port", clone]) == SourceInvalid.exit_code
    folder = tmp_path / "upstream-gguf-lora"
    (folder / FILE).write_text((upstream.path / FILE).read_text().replace("other\n", "other, better\n"))
    git(folder, "add", FILE)
    capsys.readouterr()
    assert main(["patch", "port", clone, "--continue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{'fix-thirty':32} carried after your resolution  from old.patch",
        f"{'fix-forty':32} carried  from old.patch",
    ]
    assert "of 2 patches, 1 carried, 1 carried after your resolution" in lines
    base = git(upstream.path, "rev-parse", "HEAD")[:10]
    assert lines[-1] == f"  sdcpp verify --checkout {folder} --merge-base {base}"
    assert sorted(path.name for path in exported.iterdir()) == ["fix-forty", "fix-thirty", "series"]
    assert git(folder, "log", "--format=%s", f"{base}..") == "fix: fix-forty-old\nfix: fix-thirty-old"


def test_a_patch_is_skipped_and_a_port_is_aborted(
    upstream: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone, folder = str(upstream.path), tmp_path / "tree"
    words = ["patch", "port", clone, "--branch", "other", "--output", str(folder)]
    assert main(words) == PatchConflict.exit_code
    assert main(["patch", "port", clone, "--abort"]) == 0
    assert capsys.readouterr().out == f"removed the branch other and {folder}\n"
    assert main(words) == PatchConflict.exit_code
    assert main(["patch", "port", clone, "--skip", "--export", str(tmp_path / "ported")]) == 0
    assert "of 2 patches, 1 carried, 1 skipped" in capsys.readouterr().out
    assert (tmp_path / "ported" / "series").read_text() == "fix-forty\n"
    assert main(words) == OutputRefused.exit_code


def test_one_patch_of_the_series(upstream: Upstream, capsys: pytest.CaptureFixture[str]) -> None:
    (upstream.path / ".clang-format").write_text("BasedOnStyle: Chromium\n")
    git(upstream.path, "add", ".clang-format")
    upstream.commit()
    assert main(["patch", "port", str(upstream.path), "--only", "fix-forty"]) == 0
    shown = capsys.readouterr()
    assert "of 1 patches, 1 carried" in shown.out
    assert "pip install clang-format" in shown.err
