"""The malformed files of one base model, made once a session for all tests of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.malformed.corpus import corpus
from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import concatenate
from harness.malformed.malformed_file import MalformedFile
from harness.malformed.sound_file import SoundFile, sound_file
from harness.models.tiny_models import FLUX_SMALL


@pytest.fixture(scope="session")
def sound() -> SoundFile:
    """Return the sound file that all malformed ones are made from."""
    return sound_file(FLUX_SMALL)


@pytest.fixture(scope="session")
def sound_contents(sound: SoundFile) -> Mapping[str, bytes]:
    """Return the bytes of the sound file by container."""
    return {
        "gguf": gguf.build_file(sound.gguf()),
        "safetensors": safetensors.build_file(sound.safetensors()),
        "ckpt": concatenate(ckpt.zipped(sound.ckpt())),
    }


@pytest.fixture(scope="session")
def recipes() -> tuple[MalformedFile, ...]:
    """Return the recipes of all malformed files for flux-small."""
    return corpus(FLUX_SMALL)


@pytest.fixture(scope="session")
def malformed_contents(recipes: tuple[MalformedFile, ...]) -> Mapping[str, bytes]:
    """Return the bytes of the malformed files by name, without those recipes that make no file of bytes."""
    return {recipe.name: recipe.content() for recipe in recipes if recipe.content}
