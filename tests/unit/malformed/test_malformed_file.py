from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.malformed.unusual import variants
from harness.models.tiny_models import FLUX_SMALL


@pytest.mark.usefixtures("cache_folder")
def test_files_are_written_where_they_say_and_nowhere_else(
    cache_folder: Path, recipes: tuple[MalformedFile, ...]
) -> None:
    chosen = [
        recipe for recipe in recipes if recipe.place or recipe.name.startswith(("gguf-magic", "ckpt-html"))
    ]
    for recipe in (*chosen, *variants(FLUX_SMALL)):
        for any_suffix in (True, False):
            file = WrittenMalformedFile(base=FLUX_SMALL, recipe=recipe, any_suffix=any_suffix)
            for _ in range(2):
                assert file.make() == file.path
            assert file.path.is_relative_to(file.folder)
            assert file.folder.is_relative_to(cache_folder)
            assert recipe.content is None or file.path.read_bytes() == recipe.content()
    assert [path.name for path in cache_folder.iterdir()] == ["adapters"]
    assert not [path for path in cache_folder.rglob("*") if path.is_fifo()]


@pytest.mark.usefixtures("cache_folder")
def test_a_file_of_other_content_is_written_anew(
    recipes: tuple[MalformedFile, ...], malformed_contents: Mapping[str, bytes]
) -> None:
    file = WrittenMalformedFile(base=FLUX_SMALL, recipe=recipes[0])
    file.make().write_bytes(b"of an earlier version")
    assert file.make().read_bytes() == malformed_contents[recipes[0].name]


def test_a_library_that_looks_for_suffixes_is_given_one_that_it_finds(
    recipes: tuple[MalformedFile, ...],
) -> None:
    for recipe in recipes:
        assert WrittenMalformedFile(base=FLUX_SMALL, recipe=recipe, any_suffix=False).path.suffix in (
            ".safetensors",
            ".ckpt",
        )
