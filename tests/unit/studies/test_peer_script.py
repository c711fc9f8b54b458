from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.studies.peer_script import answer
from sdcpp.errors import LibraryUnusable, ToolMissing

PYTHON = Path(sys.executable)


def ask(folder: Path, lines: str, python: Path = PYTHON) -> object:
    script = folder / "script.py"
    script.write_text(f"import json, os, sys\njob = json.loads(sys.argv[1])\n{lines}\n")
    return answer(
        python, os.fspath(script), {"number": 20}, failure="it failed", remedy="do that", env={"WORD": "set"}
    )


def test_the_last_line_is_the_answer(tmp_path: Path) -> None:
    lines = "print('loading')\nprint(json.dumps([job['number'] + 1, os.environ['WORD']]))"
    assert ask(tmp_path, lines) == [21, "set"]


@pytest.mark.parametrize(
    ("lines", "said"), [("sys.exit('no torch')", "it failed: no torch"), ("pass", "it failed: 0")]
)
def test_a_script_that_fails_or_says_nothing_is_an_error(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(LibraryUnusable, match=said) as caught:
        ask(tmp_path, lines)
    assert "do that" in str(caught.value)


def test_a_python_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing):
        ask(tmp_path, "pass", tmp_path / "python")
