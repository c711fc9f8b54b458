from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.bundle import pack
from harness.cli.main import main
from sdcpp.source.revision import Revision

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a mapping that gets what is packed, in place of downloads; the current folder is the test's own."""
    asked: dict[str, Any] = {}

    def record(path: Path, arguments: Sequence[str], revisions: Sequence[Revision], **more: Any) -> Path:
        asked.update(more, path=path, arguments=list(arguments), revisions=[one.name for one in revisions])
        path.write_bytes(b"packed")
        return path

    monkeypatch.setattr(pack, "pack", record)
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_run_of_both_matrices_on_all_revisions_is_packed_for_a_machine_like_this_one(
    packed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "--backend", "cuda"]) == 0
    assert packed == {
        "path": Path("sdcpp-cuda.pyz"),
        "arguments": [
            *("verify", "--compact", "--backend", "cuda", "--matrix", "quick", "--matrix", "full"),
            *("--revision", "2025-12", "--revision", "2026-05", "--revision", "2026-07"),
        ],
        "revisions": ["2025-12", "2026-05", "2026-07"],
        "python": HERE,
        "platforms": [],
        "omit": [],
    }
    assert "python3 sdcpp-cuda.pyz" in capsys.readouterr().err


def test_other_arguments_come_last_and_another_matrix_replaces_the_usual_ones(packed: dict[str, Any]) -> None:
    words = ["--revision", "2026-05", "--", "--matrix", "quick", "-D", "A=1"]
    assert main(["bundle", "--backend", "vulkan", *words]) == 0
    assert packed["arguments"] == [
        *("verify", "--compact", "--backend", "vulkan", "--revision", "2026-05"),
        *("--matrix", "quick", "-D", "A=1"),
    ]


def test_another_python_needs_a_platform(packed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "--backend", "cuda", "--python", "3.99"])
    assert ended.value.code == 2
    assert "--python needs --platform" in capsys.readouterr().err
    words = ["--python", "3.99", "--platform", "a", "--platform", "b", "--omit", "numpy"]
    assert main(["bundle", "--backend", "cuda", *words, "--output", "x.pyz"]) == 0
    assert (packed["python"], packed["platforms"], packed["omit"]) == ("3.99", ["a", "b"], ["numpy"])
    assert packed["path"] == Path("x.pyz")
