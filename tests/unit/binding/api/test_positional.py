from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import ModelFiles, Picture
from sdcpp.binding.declarations import Field, Scalar
from sdcpp.errors import HeaderUnsupported
from tests.unit.binding.small_pictures import PICTURE, Fakes


def test_an_argument_that_nobody_knows_is_refused_not_guessed(
    fake_build: Fakes, model: Path, tmp_path: Path
) -> None:
    loaded = library.load(fake_build("A-positional"))
    function = loaded.header.functions["txt2img"]
    more = Field(name="something_new", type=Scalar(name="int"))
    loaded.header.functions["txt2img"] = replace(function, arguments=(*function.arguments, more))  # type: ignore[index]
    context = api.bind(loaded).open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)
    with pytest.raises(HeaderUnsupported, match="something_new"):
        context.generate(PICTURE)
    start = Picture(width=8, height=4, channels=3, data=bytes(96))
    with pytest.raises(HeaderUnsupported, match="no argument: init_image"):
        context.generate(replace(PICTURE, init_image=start))
    with pytest.raises(HeaderUnsupported, match="no argument: ref_images"):
        context.generate(replace(PICTURE, ref_images=(start,)))
    with pytest.raises(HeaderUnsupported, match="no argument: clip_l_path"):
        api.bind(loaded).open(
            ModelFiles(model=model, clip_l=model), mode="auto", threads=1, lora_dir=tmp_path
        )
