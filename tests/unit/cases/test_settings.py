from __future__ import annotations

from harness.cases.settings import (
    FLAGS,
    USUAL_CONTEXT,
    USUAL_GENERATION,
    ContextSettings,
    GenerationSettings,
    described,
    init_image,
    reference_image,
)


def test_usual_settings_change_nothing_and_have_no_description() -> None:
    assert USUAL_GENERATION.arguments == {}
    assert USUAL_CONTEXT.flags == ()
    assert described(USUAL_GENERATION, USUAL_CONTEXT) == ""


def test_only_what_differs_is_an_argument_and_is_described() -> None:
    generation = GenerationSettings(steps=3, negative_prompt="fog")
    context = ContextSettings(enable_mmap=True, contexts=2)
    assert generation.arguments == {"steps": 3, "negative_prompt": "fog"}
    assert context.flags == ("enable_mmap",)
    assert described(generation, context) == "steps=3,negative_prompt=fog,enable_mmap=True,contexts=2"
    assert set(context.flags) < set(FLAGS)


def test_the_picture_that_img2img_starts_from_has_its_size_and_is_always_the_same() -> None:
    picture = init_image(8, 4)
    assert (picture.width, picture.height, picture.channels, len(picture.data)) == (8, 4, 3, 96)
    assert picture.data[:3] == bytes([0, 0, 128])
    assert picture.data[-3:] == bytes([255, 255, 128])
    assert init_image(8, 4) == picture


def test_the_reference_picture_is_no_argument_and_has_two_colours() -> None:
    assert GenerationSettings(ref_image=True, steps=2).arguments == {"steps": 2}
    assert described(GenerationSettings(ref_image=True)) == "ref_image=True"
    picture = reference_image(32, 16)
    assert (picture.width, picture.height, picture.channels, len(picture.data)) == (32, 16, 3, 32 * 16 * 3)
    pixels = [picture.data[at : at + 3] for at in range(0, len(picture.data), 3)]
    assert len(set(pixels)) == 2
    # The colours change after eight pixels, in both directions.
    assert pixels[0] == pixels[7] != pixels[8]
    assert pixels[0] != pixels[8 * 32]
    assert pixels[0] == pixels[8 * 32 + 8]
