from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.cli.study import premerged
from harness.converter.inspect import inspect
from harness.formats.read import read_tensors
from harness.studies.conversion import peers
from harness.studies.conversion import premerged as study
from harness.studies.conversion.peer import CONVERTERS
from tests.unit.converter.lora_files import pair, save


def test_a_sample_is_for_a_base_model_or_for_none(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    words = ["study", "sample", str(path), "--rank", "4"]
    assert main([*words, "--base-model", "flux-small"]) == 0
    assert not inspect(path, "flux-small").complaints
    assert main([*words, "--modules", "3", "--width", "64", "--type", "F16"]) == 0
    kinds = {tensor.kind for tensor in read_tensors(path).tensors.values() if tensor.size > 1}
    assert (len(read_tensors(path).tensors), kinds) == (9, {"F16"})


def test_each_converter_is_measured_in_the_build_that_was_named_and_its_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    asked: list[tuple[Any, ...]] = []

    def measure(name: str, folder: Path, file: Path, target: Path, kind: str) -> str:
        target.touch()
        asked.append((name, folder, file, kind))
        return name

    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(peers, "cost_table", lambda _, made, *, loss: [f"{list(made)} {loss}"])
    words = ["study", "converters", str(source), "Q8_0", "--build", str(tmp_path / "build"), "--skip-loss"]
    assert main(words) == 0
    assert asked == [(name, tmp_path / "build", source, "Q8_0") for name in CONVERTERS]
    assert capsys.readouterr().out == f"build\n\n{list(CONVERTERS)} False\n"
    assert list(tmp_path.iterdir()) == [source]


def test_every_strength_is_measured_on_each_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        premerged, "require_build", lambda *, patched=False: Path("patched" if patched else "pristine")
    )
    monkeypatch.setattr(study, "row", lambda folder, _, kind, strength: f"{folder} {kind} {strength}")
    words = ["study", "premerged", "--type", "Q4_0", "--strength", "0.5", "--strength", "0.1"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        *("pristine Q4_0 0.5", "patched Q4_0 0.5"),
        *("pristine Q4_0 0.1", "patched Q4_0 0.1"),
    ]
    assert main([*words, "--build", "one"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["one Q4_0 0.5", "one Q4_0 0.1"]
