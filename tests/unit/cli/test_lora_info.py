from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import main
from sdcpp.waiting_line import counted
from tests.unit.converter.lora_files import pair, save


def test_info_shows_and_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    assert main(["lora", "info", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{path}: safetensors, names of kohya, 3 tensors, 1 module, rank 32, ")
    assert "  ss_tag = a lighthouse" in said
    target = tmp_path / "b.safetensors"
    words = ["--set", "title=a=b", "--unset", "ss_tag", "--output", str(target), "--json"]
    assert main(["lora", "info", str(path), *words]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["metadata"] == {"modelspec.license": "MIT", "title": "a=b"}
    assert main(["lora", "info", str(path), *words, "--no-clobber"]) == 53


@pytest.mark.parametrize(
    "words", [["--set", "a=1"], ["--output", "x.gguf"], ["--set", "a"], ["--unset", "a"]]
)
def test_incomplete_edits_are_refused(tmp_path: Path, words: list[str]) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    with pytest.raises(SystemExit) as ended:
        main(["lora", "info", str(path), *words])
    assert ended.value.code == 2


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    assert main(["lora", "info", "-q", "--no-hashes", str(tmp_path / "none"), str(path)]) == 51
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_progress_is_shown_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("sdcpp.waiting_line.time.monotonic", lambda: now)
    with counted("work", 8) as progress:
        progress(1)
        now = 104.0
        progress(2)
        progress(3)
    assert capsys.readouterr().err.splitlines() == ["work: 25%, about 12 s left"]
