from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdcpp.binding.api import (
    Context,
    Generation,
    GenerationFailed,
    Lora,
    ModelFiles,
)
from sdcpp.binding.library import LogLine
from tests.unit.binding.small_pictures import PICTURE, Fakes, brightness


def test_a_picture_has_its_size_and_depends_on_the_seed(context: Context) -> None:
    first = context.generate(PICTURE)
    assert (first.width, first.height, first.channels, len(first.data)) == (8, 4, 3, 96)
    assert context.generate(PICTURE) == first
    other = Generation(prompt="a cat", width=8, height=4, steps=3, seed=43)
    assert context.generate(other).data != first.data


def test_the_pictures_of_a_batch_are_one_picture_the_first_on_top(context: Context) -> None:
    batch = context.generate(replace(PICTURE, batch_count=2))
    assert (batch.width, batch.height) == (8, 8)
    singles = [context.generate(replace(PICTURE, seed=PICTURE.seed + number)) for number in (0, 1)]
    assert batch.data == singles[0].data + singles[1].data


def test_null_is_a_refusal(
    bound_api: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bound_api.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        monkeypatch.setenv("FAKE_NULL", "generate")
        with pytest.raises(GenerationFailed, match="generate_image") as caught:
            context.generate(PICTURE)
        assert caught.value.call == "generate_image"
        assert any("told to refuse" in line for line in caught.value.log)
    monkeypatch.setenv("FAKE_NULL", "open")
    with pytest.raises(GenerationFailed, match="new_sd_ctx"):
        bound_api.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)


def test_trouble_can_be_bound_to_one_adapter(context: Context, tmp_path: Path, monkeypatch: Any) -> None:
    bad, good = tmp_path / "bad.safetensors", tmp_path / "good.safetensors"
    bad.touch()
    good.touch()
    monkeypatch.setenv("FAKE_NULL", "bad.")
    with pytest.raises(GenerationFailed):
        brightness(context, Lora(path=bad))
    assert brightness(context, Lora(path=good)) > brightness(context)


def test_the_fake_dies_as_the_library_does(fake_build: Fakes, model: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from sdcpp.binding import api, build_folder, library\n"
        "bound = api.bind(library.load(build_folder.read(Path(sys.argv[1]))))\n"
        "os.environ['FAKE_ABORT'] = 'generate'\n"
        "files = api.ModelFiles(model=Path(sys.argv[2]))\n"
        "context = bound.open(files, mode='auto', threads=1, lora_dir=Path('.'))\n"
        "context.generate(api.Generation(prompt='', width=8, height=8, steps=1, seed=1))\n"
    )
    argv: list[str | Path] = [sys.executable, "-c", program, fake_build("C").folder, model]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode < 0
    assert "GGML_ASSERT(src1->type == GGML_TYPE_F32) failed" in done.stderr


def test_a_watchers_exception_comes_after_the_picture_was_freed(context: Any) -> None:
    steps: list[int] = []

    def watch(step: int, _steps: int, _seconds: float) -> None:
        steps.append(step)
        if step == 2:
            raise RuntimeError("watcher")

    context.api.library.progress_listeners.append(watch)
    with pytest.raises(RuntimeError, match="watcher"):
        context.generate(PICTURE)
    assert steps == [1, 2, 3]
    context.api.library.progress_listeners.clear()
    assert context.generate(PICTURE)


def test_closing_twice_is_harmless(bound_api: Any, model: Path, tmp_path: Path) -> None:
    context = bound_api.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)
    context.close()
    context.close()


def line(text: str) -> LogLine:
    return LogLine(level="debug", text=f"stable-diffusion.cpp:190  - {text}")
