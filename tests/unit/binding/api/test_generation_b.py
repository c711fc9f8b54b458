from __future__ import annotations

from pathlib import Path

from sdcpp.binding import api, library
from sdcpp.binding.api import (
    Generation,
    Lora,
    generation_b,
)
from tests.unit.binding.small_pictures import Fakes


def test_generation_b_gives_the_library_the_prompt_back_as_it_was(fake_build: Fakes, tmp_path: Path) -> None:
    bound = api.bind(library.load(fake_build("B")))
    assert isinstance(bound, generation_b.GenerationB)
    lora = Lora(path=tmp_path / "x.gguf", multiplier=-0.1)
    params, _ = bound.image_params(
        Generation(prompt="ä cat", width=8, height=8, steps=1, seed=1, loras=(lora,)), tmp_path
    )
    assert params.prompt.decode() == "ä cat<lora:x:-0.1>"
