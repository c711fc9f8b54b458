from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import GenerationFailed, Lora, ModelFiles, generation_c_out
from sdcpp.errors import HeaderUnsupported
from tests.unit.binding.small_pictures import PICTURE, Fakes


def test_images_come_by_a_parameter_and_false_is_a_refusal(
    fake_build: Fakes, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, returned = (api.bind(library.load(fake_build(name))) for name in ("C-out", "C"))
    assert isinstance(out, generation_c_out.GenerationCOut)
    assert not isinstance(returned, generation_c_out.GenerationCOut)
    pictures = []
    for bound in (out, returned):
        with bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
            pictures.append(context.generate(PICTURE))
            with monkeypatch.context() as steered:
                steered.setenv("FAKE_NULL", "generate")
                with pytest.raises(GenerationFailed, match="generate_image"):
                    context.generate(PICTURE)
    assert pictures[0] == pictures[1]


def test_a_video_of_one_frame_is_a_picture(
    fake_build: Fakes, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = api.bind(library.load(fake_build("C-out")))
    adapter = tmp_path / "a.safetensors"
    adapter.write_bytes(b"")
    video = replace(PICTURE, video=True)
    with bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        picture, frame = context.generate(PICTURE), context.generate(video)
        adapted = context.generate(replace(video, loras=(Lora(path=adapter),)))
        monkeypatch.setenv("FAKE_NULL", "generate")
        with pytest.raises(GenerationFailed, match="generate_video"):
            context.generate(video)
    assert (frame.width, frame.height, frame.channels) == (picture.width, picture.height, 3)
    assert list(frame.data) == [value + 1 for value in picture.data]
    assert list(adapted.data) == [value + 16 for value in frame.data]


def test_every_picture_of_a_context_has_its_circular_axes(
    fake_build: Fakes, model: Path, tmp_path: Path
) -> None:
    bound = api.bind(library.load(fake_build("C-out")))
    pictures = {}
    for axes in ((), ("circular_x",), ("circular_y",), ("circular_x", "circular_y")):
        options = dict.fromkeys(axes, True)
        with bound.open(
            ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path, options=options
        ) as context:
            first, second = context.generate(PICTURE), context.generate(PICTURE)
            frame = context.generate(replace(PICTURE, video=True))
        assert first == second
        assert list(frame.data) == [value + 1 for value in first.data]
        pictures[axes] = first.data
    plain = pictures[()]
    added = {
        axes: {new - old for new, old in zip(data, plain, strict=True)} for axes, data in pictures.items()
    }
    assert list(added.values()) == [{0}, {2}, {4}, {6}]


def test_an_older_generation_has_no_circular_axes(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    bound = api.bind(library.load(fake_build("C")))
    options = {"circular_x": True}
    with pytest.raises(HeaderUnsupported, match="circular_x"):
        bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path, options=options)


def test_an_older_generation_makes_no_video(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    bound = api.bind(library.load(fake_build("C")))
    with (
        bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context,
        pytest.raises(HeaderUnsupported, match="videos are not supported"),
    ):
        context.generate(replace(PICTURE, video=True))
