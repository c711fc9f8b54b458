from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load

from harness.malformed.malformed_file import MalformedFile
from harness.malformed.sound_file import sound_file
from harness.malformed.unusual import variants
from harness.models.tiny_models import FLUX_SMALL

SEED = sound_file(FLUX_SMALL)
VARIANTS = variants(FLUX_SMALL)


def of(container: str, *leaving: str) -> list[MalformedFile]:
    return [r for r in VARIANTS if r.container == container and not r.name.endswith(leaving or ("-",))]


def test_no_file_hides_another_from_a_library_that_tries_suffixes() -> None:
    stems = [Path(recipe.file_name).with_suffix("") for recipe in VARIANTS if recipe.file_name]
    assert len(set(stems)) == len(stems)


def test_names_are_unique() -> None:
    assert len({recipe.name for recipe in VARIANTS}) == len(VARIANTS) > 50


@pytest.mark.parametrize(
    "recipe", of("safetensors", "unknown-tensor-of-bool"), ids=lambda recipe: recipe.name
)
def test_safetensors_hold_the_same_numbers(recipe: MalformedFile) -> None:
    assert recipe.content is not None
    back = load(recipe.content())
    for name, array in SEED.tensors.items():
        assert np.array_equal(back[name].reshape(-1), array.reshape(-1))


@pytest.mark.parametrize("recipe", of("gguf", "nested-arrays"), ids=lambda recipe: recipe.name)
def test_ggufs_hold_the_same_numbers(recipe: MalformedFile, tmp_path: Path) -> None:
    assert recipe.content is not None
    path = tmp_path / "x.gguf"
    path.write_bytes(recipe.content())
    back = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    for name, array in SEED.tensors.items():
        assert np.array_equal(back[name].reshape(-1), array.reshape(-1))


def test_a_file_that_a_library_need_not_take_says_so() -> None:
    declined = {recipe.name for recipe in VARIANTS if "without" in recipe.accept}
    assert declined == {
        "variant-gguf-metadata-nested-arrays",
        "variant-gguf-big-endian",
        "variant-gguf-gap-in-data",
        "variant-ckpt-shared-storage-float64",
    }


def test_files_with_other_networks_need_no_warning() -> None:
    found = [recipe for recipe in VARIANTS if "-with-" in recipe.name]
    assert len(found) == 6
    for recipe in found:
        assert recipe.content is not None
        assert load(recipe.content()).keys() > SEED.tensors.keys()
        assert (recipe.accept, recipe.quietly) == (frozenset(), frozenset({"whole"}))
