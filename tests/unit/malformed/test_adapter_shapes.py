from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.malformed import adapter_shapes
from harness.malformed.malformed_file import MalformedFile
from harness.malformed.sound_file import SoundFile
from tests.unit.malformed.malformed_contents import content

Values = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def shapes(sound: SoundFile) -> dict[str, MalformedFile]:
    """Return the recipes by name, without the one whose header is no JSON."""
    found = {recipe.name: recipe for recipe in adapter_shapes.recipes(sound)}
    # The comma after the metadata is followed by no tensor.
    del found["safetensors-no-tensors"]
    return found


def values(recipe: MalformedFile, path: Path) -> Values:
    """Return the tensors of a file by name, read by this project's strict reader."""
    path.write_bytes(content(recipe))
    return {name: tensor.values() for name, tensor in read_tensors(path).tensors.items()}


def test_files_are_well_formed_and_their_second_pair_is_sound(
    shapes: dict[str, MalformedFile], sound: SoundFile, tmp_path: Path
) -> None:
    second = sound.only(sound.second)
    for name, recipe in shapes.items():
        found = values(recipe, tmp_path / "x")
        if "second" in recipe.accept:
            for tensor, array in second.items():
                assert np.array_equal(found[tensor].reshape(-1), array.reshape(-1), equal_nan=True), name
        else:
            assert recipe.accept == {"without"}, name


def test_the_containers_of_one_oddity_hold_the_same_numbers(
    shapes: dict[str, MalformedFile], tmp_path: Path
) -> None:
    odd = {name.partition("-")[2] for name in shapes if name.startswith("gguf-")} - {"no-tensors"}
    assert len(odd) >= 10
    for word in odd:
        first, *others = (
            values(shapes[f"{container}-{word}"], tmp_path / "x")
            for container in ("safetensors", "gguf", "ckpt")
        )
        for other in others:
            assert first.keys() == other.keys(), word
            for tensor, array in first.items():
                assert np.array_equal(array.reshape(-1), other[tensor].reshape(-1), equal_nan=True), word


def test_numbers_that_are_none_are_in_the_file(shapes: dict[str, MalformedFile], tmp_path: Path) -> None:
    counts = {}
    for word in ("nan-once", "nan-everywhere", "infinity-once"):
        found = values(shapes[f"gguf-{word}"], tmp_path / "x").values()
        counts[word] = sum(int(np.sum(~np.isfinite(array))) for array in found)
    assert counts["nan-once"] == counts["infinity-once"] == 1
    assert counts["nan-everywhere"] > 100


def test_a_loha_and_a_lokr_lack_each_of_their_factors_once(
    shapes: dict[str, MalformedFile], sound: SoundFile, tmp_path: Path
) -> None:
    lacking: dict[str, dict[str, set[str]]] = {}
    for name, recipe in shapes.items():
        kind, _, missing = name.removeprefix("safetensors-").partition("-without-")
        if missing and not kind.endswith("-core"):
            found = values(recipe, tmp_path / "x")
            factors = {n.removeprefix(f"{sound.first}.") for n in found if n.startswith(sound.first)}
            lacking.setdefault(kind, {})[missing] = factors
    whole = {kind: set[str]().union(*cases.values()) for kind, cases in lacking.items()}
    assert {kind: len(factors) for kind, factors in whole.items()} == {"loha": 4, "lokr-w1": 3, "lokr-w2": 3}
    for kind, cases in lacking.items():
        for missing, factors in cases.items():
            [gone] = whole[kind] - factors
            assert gone.partition("_")[2].replace("_", "-") == missing
