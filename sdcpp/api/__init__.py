"""Upstream's C API, one module for each generation of it, behind one Protocol."""

from __future__ import annotations

from sdcpp.api import generation_b, generation_c
from sdcpp.api.protocol import (
    Api,
    Context,
    Generation,
    Lora,
    ModelFiles,
    Picture,
    Refused,
    check_backend,
)
from sdcpp.declaration import Header
from sdcpp.errors import HeaderUnsupported
from sdcpp.library import Library

__all__ = [
    "Api",
    "Context",
    "Generation",
    "Lora",
    "ModelFiles",
    "Picture",
    "Refused",
    "bind",
    "check_backend",
    "name_generation",
]

#: What recognises a header, and what calls it; the first that fits is taken.
GENERATIONS = (
    (generation_c.fits, generation_c.GenerationC),
    (generation_b.fits, generation_b.GenerationB),
)


def name_generation(header: Header) -> str | None:
    """Return the letter of the header's generation, or None for one that cannot be called yet."""
    return next((made.generation for fits, made in GENERATIONS if fits(header)), None)


def bind(library: Library) -> Api:
    """Return the calls of the library's generation.

    Raises HeaderUnsupported for a generation without a module, LibraryUnusable for a missing function.
    """
    for fits, made in GENERATIONS:
        if fits(library.header):
            return made(library)
    raise HeaderUnsupported(
        "no known generation of the LoRA API",
        library.name,
        "add a module to sdcpp/api and to its GENERATIONS",
    )
