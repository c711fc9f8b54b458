from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.studies.conversion import lora_tools
from harness.studies.conversion.lora_tools import Peers
from sdcpp import process
from sdcpp.errors import LibraryUnusable
from sdcpp.process import Completed

#: A program in place of a Python with torch: it fails as one without torch does.
WITHOUT_TORCH = "#!/bin/sh\necho ModuleNotFoundError: no torch\nexit 1\n"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run this project's commands in this process, which is quicker, and all others as they are."""

    def quick(words: list[str], **options: Any) -> Completed:
        if "harness" not in words:
            return process.run(words, **options)
        status = main(words[words.index("harness") + 1 :])
        return Completed(argv=tuple(words), status=status, output="peak 2048")

    monkeypatch.setattr(lora_tools, "run", quick)


def test_ours_are_exact_or_the_best(tmp_path: Path) -> None:
    [exact, short] = lora_tools.combinations(tmp_path, 1, 48, 4, Peers())
    assert exact.error < 1e-6 < short.error < 1
    assert exact.peak == pytest.approx(2048 * (1 if sys.platform == "darwin" else 1024) / 1e6)
    assert exact.size > short.size


def test_the_resized_lora_is_the_best(tmp_path: Path) -> None:
    [ours, best] = lora_tools.resizes(tmp_path, 1, 48, 4, Peers())
    assert ours.error == pytest.approx(best.error, rel=1e-4)
    assert 0 < best.error < 1


def test_the_extracted_lora_is_the_best(tmp_path: Path) -> None:
    [ours, best] = lora_tools.extractions(tmp_path, 1, 48, 4, Peers())
    assert ours.error == pytest.approx(best.error, rel=1e-4)
    assert (best.tool, best.seconds) == ("the best possible", None)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_tool_that_fails(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(WITHOUT_TORCH)
    python.chmod(0o755)
    found = lora_tools.combinations(tmp_path, 1, 32, 4, Peers(python=python))
    next(found)
    next(found)
    with pytest.raises(LibraryUnusable, match=r"PEFT, cat failed: ModuleNotFoundError: no torch"):
        next(found)
