from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import (
    Lora,
    ModelFiles,
    generation_a,
)
from sdcpp.errors import HeaderUnsupported
from tests.unit.binding.small_pictures import PICTURE, Fakes


def test_a_revision_with_one_mode_refuses_the_other(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    for name in ("A", "A-positional"):
        bound = api.bind(library.load(fake_build(name)))
        bound.open(ModelFiles(model=model), mode="immediately", threads=1, lora_dir=tmp_path).close()
        with pytest.raises(HeaderUnsupported, match="no such LoRA apply mode: at_runtime"):
            bound.open(ModelFiles(model=model), mode="at_runtime", threads=1, lora_dir=tmp_path)


def test_adapters_are_named_in_the_prompt_and_looked_up_in_the_folder(
    fake_build: Fakes, tmp_path: Path
) -> None:
    bound = api.bind(library.load(fake_build("A")))
    assert isinstance(bound, generation_a.GenerationA)
    params = bound.context_params(ModelFiles(), mode="auto", threads=1, lora_dir=tmp_path, options={})
    assert params.lora_model_dir == str(tmp_path).encode()
    lora = Lora(path=tmp_path / "x.safetensors", multiplier=0.5)
    image, _ = bound.image_params(replace(PICTURE, loras=(lora,)), tmp_path)
    assert image.prompt.decode() == "a cat<lora:x:0.5>"
