"""Small pictures that the fake library makes, for the tests of its bindings."""

from __future__ import annotations

from collections.abc import Callable

from sdcpp.binding.api import (
    Context,
    Generation,
    Lora,
)
from sdcpp.binding.build_folder import Build

#: The type of the fixture ``fake_build``.
Fakes = Callable[..., Build]

PICTURE = Generation(prompt="a cat", width=8, height=4, steps=3, seed=42)


def brightness(context: Context, *loras: Lora) -> float:
    """Return the mean grey level of a picture with these adapters."""
    picture = context.generate(Generation(prompt="a cat", width=8, height=4, steps=1, seed=1, loras=loras))
    assert len(picture.data) == picture.width * picture.height * picture.channels
    return sum(picture.data) / len(picture.data)
