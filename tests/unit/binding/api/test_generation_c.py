from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sdcpp.binding import api, library
from sdcpp.binding.api import Lora, ModelFiles, generation_c
from tests.unit.binding.small_pictures import PICTURE, Fakes, brightness


def test_adapters_are_a_list_of_paths_and_the_prompt_names_none(fake_build: Fakes, tmp_path: Path) -> None:
    bound = api.bind(library.load(fake_build("C")))
    assert isinstance(bound, generation_c.GenerationC)
    loras = (Lora(path=tmp_path / "ä:b.gguf", multiplier=-0.1), Lora(path=Path("/elsewhere/y"), multiplier=2))
    params, _alive = bound.image_params(replace(PICTURE, loras=loras), tmp_path)
    assert params.prompt.decode() == "a cat"
    given = [params.loras[number] for number in range(params.lora_count)]
    assert [one.path.decode() for one in given] == [str(lora.path) for lora in loras]
    assert [round(one.multiplier, 6) for one in given] == [-0.1, 2.0]
    assert not any(one.is_high_noise for one in given)
    flagged = replace(PICTURE, loras=(replace(loras[0], is_high_noise=True), loras[1]))
    params, _alive = bound.image_params(flagged, tmp_path)
    assert [params.loras[number].is_high_noise for number in (0, 1)] == [True, False]
    params, _alive = bound.image_params(PICTURE, tmp_path)
    assert params.lora_count == 0


def test_an_adapter_may_be_outside_the_folder(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "elsewhere" / "x.gguf"
    adapter.parent.mkdir()
    adapter.touch()
    bound = api.bind(library.load(fake_build("C")))
    folder = tmp_path / "loras"
    with bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=folder) as context:
        assert brightness(context, Lora(path=adapter)) - brightness(context) == 16
