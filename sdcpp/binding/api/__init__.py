"""Upstream's C API, one module for each generation of it, behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable

from sdcpp.binding.api import generation_a, generation_b, generation_c, generation_c_out, positional
from sdcpp.binding.api.interface import (
    Api,
    Context,
    Generation,
    GenerationFailed,
    Lora,
    ModelFiles,
    Picture,
    check_backend,
)
from sdcpp.binding.declarations import Header
from sdcpp.binding.library import Library
from sdcpp.errors import HeaderUnsupported

__all__ = [
    "Api",
    "Context",
    "Generation",
    "GenerationFailed",
    "Lora",
    "ModelFiles",
    "Picture",
    "bind",
    "check_backend",
    "name_convention",
    "name_generation",
]

#: What recognises a header, what calls it, and the letter of its LoRA API; the first that fits is taken.
GENERATIONS: tuple[tuple[Callable[[Header], bool], Callable[[Library], Api], str], ...] = (
    (generation_c_out.matches_header, generation_c_out.GenerationCOut, "C"),
    (generation_c.matches_header, generation_c.GenerationC, "C"),
    (generation_b.matches_header, generation_b.GenerationB, "B"),
    (generation_a.matches_header, generation_a.GenerationA, "A"),
    (positional.matches_header, positional.Positional, "A"),
)


def name_generation(header: Header) -> str | None:
    """Return the letter of the header's generation, or None for one that nothing here calls."""
    return next((letter for fits, _, letter in GENERATIONS if fits(header)), None)


def name_convention(header: Header) -> str | None:
    """Return the name of the class that calls a header, or None for one that nothing here calls."""
    return next((getattr(made, "__name__", "?") for fits, made, _ in GENERATIONS if fits(header)), None)


def bind(library: Library) -> Api:
    """Return the calls of the library's generation.

    Raises HeaderUnsupported for a generation without a module, LibraryUnusable for a missing function.
    """
    for fits, made, _ in GENERATIONS:
        if fits(library.header):
            return made(library)
    raise HeaderUnsupported(
        "unknown generation of the LoRA API",
        library.name,
        "add a module for it to sdcpp/binding/api, and an entry to GENERATIONS",
    )
