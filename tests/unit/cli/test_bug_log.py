from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import pytest

from harness.cli import bug_log
from sdcpp import project


def bug() -> Exception:
    try:
        raise ValueError("with hunter2hunter2 and https://me:hunter2@index.example/simple")
    except ValueError as error:
        return error


def test_a_log_has_the_command_the_versions_and_the_traceback(cache_folder: Path) -> None:
    path = bug_log.write(bug(), ["lora", "inspect", "two words"])
    assert path is not None
    assert path.parent == cache_folder / "logs"
    text = path.read_text(encoding="utf-8")
    assert "command: sdcpp lora inspect 'two words'\n" in text
    assert f"sdcpp: {project.version()}\n" in text
    assert platform.python_version() in text
    assert platform.platform() in text
    for name in ("numpy", "gguf", "rich"):
        assert f"\n  {name} " in text
    assert "in bug\n    raise ValueError(" in text


def test_a_log_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("SSH_KEY", "a")  # short: it would blacken half of the text
    text = bug_log.text(bug(), ["build", "--checkout", "https://me:hunter2@host/path"])
    assert "hunter2" not in text
    assert "https://***@host/path" in text
    assert "ValueError: with *** and https://***@index.example/simple" in text


def test_a_log_goes_to_the_temporary_folder_if_the_cache_cannot_be_written(
    cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.write_text("a file", encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    path = bug_log.write(bug(), [])
    assert path is not None
    assert path.parent == tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(cache_folder / "below"))
    assert bug_log.write(bug(), []) is None


def test_a_log_is_written_without_git(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise RuntimeError("no git")

    monkeypatch.setattr(project, "version", fail)
    path = bug_log.write(bug(), [])
    assert path is not None
    assert path.is_relative_to(cache_folder)
    assert "sdcpp: 0." in path.read_text(encoding="utf-8")
