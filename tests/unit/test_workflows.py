"""The weekly workflow names options, files and artifacts as the commands do."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from harness.cli.main import parser
from harness.verification import judged
from sdcpp import cache, project

WORKFLOW = project.ROOT / ".github" / "workflows" / "upstream.yml"


@pytest.fixture
def text() -> str:
    return WORKFLOW.read_text(encoding="utf-8")


@pytest.mark.parametrize("ref", ["", "pr/7"])
def test_the_command_has_options_that_verify_knows(text: str, ref: str) -> None:
    [backends] = re.findall(r"backend: \[(.+)\]", text)
    [command] = re.findall(r"run: nox -s verify -- (.+)", text)
    for backend in backends.split(", "):
        words = shlex.split(command.replace('${REF:+"$REF"}', ref).replace("$BACKEND", backend))
        arguments = parser().parse_args(["verify", *words])
        assert arguments.upstream == ref
        assert arguments.backend == backend
        assert arguments.output == Path("reports/verify")


def test_the_judged_commits_travel(text: str, cache_folder: Path) -> None:
    assert judged.path().is_relative_to(cache_folder / cache.UPSTREAM)
    patterns = re.findall(r"[\w*]*\.judged\.json", text)
    assert len(patterns) == 2
    assert all(fnmatchcase(judged.path().name, pattern) for pattern in patterns)
    assert f"~/sdcpp-cache/{cache.UPSTREAM}/" in text
    [kept] = re.findall(r"name: (upstream-.+)", text)
    [restored] = re.findall(r'--name "(upstream-.+?)"', text)
    assert kept.replace("${{ matrix.backend }}", "$BACKEND") == restored
