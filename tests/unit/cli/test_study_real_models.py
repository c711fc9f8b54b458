from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import bench_apply
from harness.cli.main import main
from harness.cli.study import real_models as command
from harness.studies.applying import models
from harness.studies.real_models import page, study
from sdcpp.binding.build_folder import Build
from tests.unit.studies.real_models.examples import ATTEMPT

WORDS = ["study", "real-models"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the paths of the record and the page, in a temporary folder."""
    record, written = tmp_path / "results" / "real-models.json", tmp_path / "docs" / "real-models.md"
    monkeypatch.setattr(study, "RECORD", record)
    monkeypatch.setattr(page, "PAGE", written)
    return record, written


@pytest.fixture
def tried(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Return a list that gets the model, the adapter and the layers of each attempt, in place of pictures."""
    found: list[tuple[str, str, str]] = []
    parts: list[str] = []

    def write_adapter(folder: Path, *_: object) -> SimpleNamespace:
        parts.append(str(_[-1]))
        return SimpleNamespace(path=folder / "a.gguf")

    def attempt(_: object, _base: object, adapter: study.Adapter, *, name: str, **more: Any) -> study.Attempt:
        found.append((name, adapter.name, parts[-1]))
        return replace(ATTEMPT, base=name, pixels=more["pixels"])

    bases = {
        name: SimpleNamespace(name=name, make=lambda: None, architecture=name.partition("-")[0])
        for name in command.DEFAULT
    }
    monkeypatch.setattr(models, "MODELS", bases)
    monkeypatch.setattr(bench_apply, "builds", lambda *_: {"patched": fake_build("C")})
    monkeypatch.setattr(bench_apply, "write_adapter", write_adapter)
    monkeypatch.setattr(command, "LibraryQuantiser", lambda _: nullcontext(None))
    monkeypatch.setattr(study, "attempt", attempt)
    return found


def test_each_model_is_tried_and_flux_with_an_adapter_of_its_attention(
    tried: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    output = tmp_path / "found.json"
    assert main([*WORDS, "--output", str(output), "--size", "64"]) == 0
    assert tried == [("sd1", "32-Q8_0", ""), ("sdxl", "32-Q8_0", ""), ("flux-q8", "32-Q8_0", "attn")]
    assert {(each["base"], each["pixels"]) for each in json.loads(output.read_text(encoding="utf-8"))} == {
        (name, 64) for name in command.DEFAULT
    }


def test_records_of_other_machines_are_added(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, written = files
    assert main([*WORDS, "--recorded"]) != 0
    assert "nothing is recorded" in capsys.readouterr().err
    study.add([ATTEMPT], record)
    study.add([replace(ATTEMPT, device="another card")], tmp_path / "other.json")
    assert main([*WORDS, "--recorded", str(tmp_path / "other.json"), "--write-docs"]) == 0
    assert len(study.read(record)) == 2
    assert written.read_text(encoding="utf-8") == page.page(study.read(record))
