from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.lora import try_adapter
from harness.cli.main import main
from harness.records.verdict import Verdict
from tests.unit.own_model.own_files import flux, lora
from tests.unit.own_model.test_results import trial


@pytest.fixture(name="model")
def _model(tmp_path: Path) -> str:
    return str(flux(tmp_path / "flux.safetensors"))


def test_the_answer_without_a_library(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(lora(tmp_path / "a.gguf"))
    assert main(["lora", "try", path, "-m", model]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        f"{path}: a LoRA for FLUX.1: it fits the model; without patches, 2025-12 ignores it"
    )
    assert "what to do:" in said
    assert main(["lora", "try", path, "--diffusion-model", model, "-q"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_upstreams_spellings_of_the_files(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lora(tmp_path / "a.gguf"))
    for options in (
        ["--diffusion_model", model, "--clip_l", model],
        ["--diffusion-model", model, "--clip-l", model],
        ["--base-model", model, "--tae", model],
    ):
        assert main(["lora", "try", path, *options, "--json"]) == 1
        [data] = json.loads(capsys.readouterr().out)
        assert data["model"]["family"] == "FLUX.1"


def test_one_file_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.gguf")
    assert main(["lora", "try", missing, str(lora(tmp_path / "a.gguf")), "-m", model, "--json"]) == 51
    first, second = json.loads(capsys.readouterr().out)
    assert "error" in first
    assert second["conclusion"].startswith("a LoRA for FLUX.1")


def test_pictures_need_a_model(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["lora", "try", str(lora(tmp_path / "a.gguf")), "--revision", "2026-05"])
    with pytest.raises(SystemExit):
        main(["lora", "try", "a", "b", "--source", "c", "-m", "d"])


def test_what_the_library_cannot_read_is_refused_before_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lora(tmp_path / "a.safetensors"))
    (tmp_path / "m" / "transformer").mkdir(parents=True)
    flux(tmp_path / "m" / "transformer" / "diffusion_pytorch_model.safetensors")
    model = str(tmp_path / "m")
    assert main(["lora", "try", path, "-m", model, "--revision", "2026-05"]) == 51
    assert "the library reads only unet/" in capsys.readouterr().err
    assert main(["lora", "try", path, "-m", model, "-q"]) == 1


def test_the_answer_with_pictures(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SimpleNamespace(folder=tmp_path, record={"revision": "2026-05"})

    asked: list[Any] = []

    def fake(*arguments: Any, **more: Any) -> Any:
        asked.append((arguments, more))
        return trial(Verdict.PASS, Verdict.PASS)

    monkeypatch.setattr(try_adapter, "builds", lambda *_: [library])
    monkeypatch.setattr(try_adapter, "try_adapter", fake)
    output = tmp_path / "out"
    path = str(lora(tmp_path / "a.safetensors"))
    words = ["lora", "try", f"{path}@0.5", "-m", model, "--revision", "2026-05", "--output", str(output)]
    assert main([*words, "--source", path, "--steps", "3", "--offload-to-cpu"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{path}: a LoRA for FLUX.1: 2026-05 without patches on cpu applies it")
    assert "relative error of ΔW against a.safetensors: 0.000%" in said.out
    assert "<!DOCTYPE html>" in (output / "report.html").read_text()
    [((_, adapter, _, settings), more)] = asked
    assert (settings.changes, settings.batch_count) == (0, 1)
    assert (adapter.multiplier, settings.steps, settings.context.offload_params_to_cpu) == (0.5, 3, True)
    assert more["source"] == Path(path)


def test_uses_without_a_library(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lora", "try", str(lora(tmp_path / "a.safetensors")), "-m", model]
    main(
        [*words, "--mmap", "--free-params", "-b", "2", "--diffusion-fa", "--clip-on-cpu", "--offload-to-cpu"]
    )
    said = capsys.readouterr().out
    assert (
        "expected with batch-2, offload-params, clip-on-cpu, mmap, flash-attention and free-params of" in said
    )
    main([*words, "--changing-multipliers"])
    assert "a picture without it is wrong with 2026-07 in mode immediately" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, "--changing-multipliers", "--free-params"])
    assert "makes one picture" in capsys.readouterr().err
