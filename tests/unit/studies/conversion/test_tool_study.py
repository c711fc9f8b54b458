from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.cli.study import tools
from harness.studies.conversion import tool_study, tools_page
from harness.studies.conversion.lora_tools import Peers
from sdcpp.errors import FileInvalid, NothingTried
from tests.unit.git_repositories import git
from tests.unit.studies.conversion.tool_costs import cost, study


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    tool_study.write(study(), path)
    assert tool_study.read(path) == study()
    path.write_text("{}")
    with pytest.raises(FileInvalid, match="run sdcpp study tools --write-docs"):
        tool_study.read(path)
    with pytest.raises(NothingTried, match="run sdcpp study tools --write-docs"):
        tool_study.read(tmp_path / "none.json")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_the_versions_are_those_of_the_other_tools(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"torch": "2.13"}\'\n')
    python.chmod(0o755)
    # Another repository around the folder is not the one of the scripts.
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "another")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    made = tool_study.new(Peers(python=python, scripts=scripts), layers=1, width=2, rank=3, command="c")
    assert made.versions == {"torch": "2.13", "sd-scripts": "of an unknown commit"}
    assert tool_study.new(Peers(), layers=1, width=2, rank=3, command="c").versions == {}


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        tools, "_STUDIES", dict.fromkeys(tools._STUDIES, lambda *_: [cost("sdcpp, rank 16", 0.5)])
    )
    monkeypatch.setattr(tool_study.write, "__defaults__", (tmp_path / "tools.json",))
    monkeypatch.setattr(tool_study.read, "__defaults__", (tmp_path / "tools.json",))
    for module in (tool_study, tools_page):
        monkeypatch.setattr(module, "PAGE", tmp_path / "tools.md")
    assert main(["study", "tools", "--layers", "2", "--write-docs"]) == 0
    assert capsys.readouterr().out.count("| sdcpp, rank 16 | 50.0000% | 2.0 | 50 | 1.50 |") == 3
    text = (tmp_path / "tools.md").read_text(encoding="utf-8")
    assert main(["study", "tools", "--recorded", "--write-docs"]) == 0
    assert (tmp_path / "tools.md").read_text(encoding="utf-8") == text
    assert os.fspath(tmp_path) not in text
    with pytest.raises(SystemExit):
        main(["study", "tools", "--sd-scripts", "x"])
