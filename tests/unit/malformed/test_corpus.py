from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from harness.malformed.corpus import corpus
from harness.malformed.malformed_file import MalformedFile
from harness.malformed.unusual import variants
from harness.models.tiny_models import FLUX_SMALL, SD1_TINY
from tests.unit.malformed.malformed_contents import content


@pytest.mark.parametrize("base", [FLUX_SMALL, SD1_TINY], ids=lambda base: base.name)
def test_there_are_at_least_three_hundred_small_files_that_all_differ(
    base: object, recipes: tuple[MalformedFile, ...]
) -> None:
    found = recipes if base is FLUX_SMALL else corpus(SD1_TINY)
    files = [content(recipe) for recipe in found if recipe.content]
    assert len(files) >= 300
    assert len(set(files)) == len(files)
    assert len({recipe.name for recipe in found}) == len(found)
    assert sum(map(len, files)) < 20_000_000
    assert max(map(len, files)) < 2_000_000


def test_every_malformed_file_differs_from_the_sound_ones(
    malformed_contents: Mapping[str, bytes], sound_contents: Mapping[str, bytes]
) -> None:
    assert not set(malformed_contents.values()) & set(sound_contents.values())


def test_recipes_always_make_the_same_bytes(
    recipes: tuple[MalformedFile, ...], malformed_contents: Mapping[str, bytes]
) -> None:
    again = corpus(FLUX_SMALL)
    assert [recipe.name for recipe in again] == [recipe.name for recipe in recipes]
    assert {recipe.name: content(recipe) for recipe in again if recipe.content} == malformed_contents


def test_every_recipe_has_a_readable_name_a_reason_and_a_right_answer(
    recipes: tuple[MalformedFile, ...],
) -> None:
    for recipe in (*recipes, *variants(FLUX_SMALL)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", recipe.name), recipe.name
        assert recipe.why
        assert "\n" not in recipe.why
        assert recipe.accept | recipe.quietly
        assert (recipe.content is None) != (recipe.place is None)
    assert all("without" in recipe.accept | recipe.quietly for recipe in recipes)


def test_containers_are_all_there(recipes: tuple[MalformedFile, ...]) -> None:
    counts = {c: sum(r.container == c for r in recipes) for c in ("gguf", "safetensors", "ckpt", "path")}
    assert min(counts["gguf"], counts["safetensors"], counts["ckpt"]) >= 60
    assert counts["path"] >= 6
