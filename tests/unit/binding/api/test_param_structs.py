from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdcpp.binding.api import GenerationFailed, ModelFiles, Picture
from sdcpp.errors import HeaderUnsupported
from tests.unit.binding.small_pictures import PICTURE


def test_defaults_and_settings_of_the_context(bound_api: Any, model: Path, tmp_path: Path) -> None:
    options = {"diffusion_flash_attn": True}
    params = bound_api.context_params(
        ModelFiles(diffusion_model=model), mode="at_runtime", threads=7, lora_dir=tmp_path, options=options
    )
    assert params.diffusion_model_path == str(model).encode()
    assert (params.n_threads, params.lora_apply_mode) == (7, 2)
    assert (params.free_params_immediately, params.vae_decode_only, params.diffusion_flash_attn) == (
        False,
        True,
        True,
    )
    enum = {"lora_apply_mode": "LORA_APPLY_IMMEDIATELY"}
    params = bound_api.context_params(ModelFiles(), mode="auto", threads=1, lora_dir=tmp_path, options=enum)
    assert params.lora_apply_mode == 1


def test_image_parameters_take_enumerators_from_the_header(bound_api: Any, tmp_path: Path) -> None:
    params, _ = bound_api.image_params(PICTURE, tmp_path)
    sample = params.sample_params
    assert (sample.sample_method, sample.scheduler, sample.sample_steps) == (5, 1, 3)
    assert (params.seed, params.batch_count, sample.guidance.txt_cfg) == (42, 1, 1.0)


def test_negative_prompt_and_initial_picture_are_passed(bound_api: Any, model: Path, tmp_path: Path) -> None:
    start = Picture(width=8, height=4, channels=3, data=bytes([40] * 96))
    with bound_api.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        plain = context.generate(PICTURE)
        negative = context.generate(replace(PICTURE, negative_prompt="fog"))
        brighter = context.generate(replace(PICTURE, init_image=start, strength=0.5))
    assert negative.data == bytes(value + 3 for value in plain.data)
    assert brighter.data == bytes(value + 20 for value in plain.data)


def test_every_reference_picture_is_passed_with_all_its_pixels(
    bound_api: Any, model: Path, tmp_path: Path
) -> None:
    pictures = tuple(
        Picture(width=width, height=2, channels=3, data=bytes([99] * (6 * width - 1) + [last]))
        for width, last in ((4, 10), (2, 7))
    )
    with bound_api.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        plain = context.generate(PICTURE)
        edited = context.generate(replace(PICTURE, ref_images=pictures))
    assert edited.data == bytes(value + 17 for value in plain.data)


def test_what_the_header_lacks_is_named(bound_api: Any, model: Path, tmp_path: Path) -> None:
    files = ModelFiles(model=model)
    with pytest.raises(HeaderUnsupported, match="sometimes"):
        bound_api.open(files, mode="sometimes", threads=1, lora_dir=tmp_path)
    with pytest.raises(HeaderUnsupported, match="max_vram"):
        bound_api.open(files, mode="auto", threads=1, lora_dir=tmp_path, options={"max_vram": 1.0})


def test_a_missing_model_is_refused_with_the_librarys_words(bound_api: Any, tmp_path: Path) -> None:
    with pytest.raises(
        GenerationFailed, match=r"new_sd_ctx returned nothing\n.*file not found: .*nowhere.gguf"
    ):
        bound_api.open(ModelFiles(model=tmp_path / "nowhere.gguf"), mode="auto", threads=1, lora_dir=tmp_path)
