"""Tests of formatting the lines that a commit adds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sdcpp.patching import formatting
from tests.unit.git_repositories import git
from tests.unit.patching.upstream import Upstream, replacing

FILE = "stable-diffusion.cpp"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """Return a clone that has a style, and as HEAD a commit with changes in two places and in a text."""
    made = Upstream(tmp_path / "upstream")
    (made.path / formatting.STYLE).write_text("BasedOnStyle: Chromium\n")
    git(made.path, "add", formatting.STYLE)
    made.commit()
    made.commit(
        {
            FILE: lambda text: replacing("line 30", "a\nb")(replacing("line 50", "c")(text)).replace(
                "line 9\n", ""
            ),
            "no-line-end.txt": lambda text: f"more\n{text}",
        }
    )
    return made


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a stand-in for clang-format: it notes its arguments, and adds two spaces to lines of one letter."""
    if os.name == "nt":
        pytest.skip("it is a script")
    path = tmp_path / "clang-format"
    log, code = tmp_path / "log", "text = re.sub(r'^(\\w)$', r'  \\1', path.read_text(), flags=re.MULTILINE)"
    path.write_text(
        f"#!{sys.executable}\nimport re, sys\nfrom pathlib import Path\npath = Path(sys.argv[-1])\n"
        f"with open({str(log)!r}, 'a') as file:\n    print(*sys.argv[1:], file=file)\n{code}\npath.write_text(text)\n"
    )
    path.chmod(0o755)
    return path


def test_only_the_added_lines_of_source_files_are_formatted(
    upstream: Upstream, program: Path, tmp_path: Path
) -> None:
    assert formatting.format_head(upstream.clone, program)
    assert (tmp_path / "log").read_text() == f"-i --style=file --lines=29:30 --lines=50:50 {FILE}\n"
    assert "\n  a\n  b\n" in git(upstream.path, "show", f"HEAD:{FILE}")
    assert git(upstream.path, "log", "-1", "--format=%s") == "newer"
    assert git(upstream.path, "rev-list", "--count", "HEAD") == "3"
    assert git(upstream.path, "status", "--porcelain") == ""
    assert not formatting.format_head(upstream.clone, program)


def test_without_a_style_nothing_is_formatted(upstream: Upstream, program: Path) -> None:
    (upstream.path / formatting.STYLE).unlink()
    assert not formatting.format_head(upstream.clone, program)


def test_a_program_that_fails_changes_nothing(upstream: Upstream, program: Path) -> None:
    program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert not formatting.format_head(upstream.clone, program)


def test_the_program_is_found_in_path(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(program.parent / "python"))
    monkeypatch.setenv("PATH", "")
    assert formatting.program() == program
    program.unlink()
    assert formatting.program() is None
