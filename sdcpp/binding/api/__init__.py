"""Call upstream's C API. Each of its generations has a module; all implement the protocol ``Api``."""

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

#: For each generation: whether a header is of it, the class that calls the library, and the letter of the LoRA API.
#: The first that matches is used.
GENERATIONS: tuple[tuple[Callable[[Header], bool], Callable[[Library], Api], str], ...] = (
    (generation_c_out.matches_header, generation_c_out.GenerationCOut, "C"),
    (generation_c.matches_header, generation_c.GenerationC, "C"),
    (generation_b.matches_header, generation_b.GenerationB, "B"),
    (generation_a.matches_header, generation_a.GenerationA, "A"),
    (positional.matches_header, positional.Positional, "A"),
)


def name_generation(header: Header) -> str | None:
    """Return the letter of a header's generation, or None if no generation matches."""
    return next((letter for matches, _, letter in GENERATIONS if matches(header)), None)


def name_convention(header: Header) -> str | None:
    """Return the name of the class that calls a library with this header, or None if no generation matches."""
    return next(
        (getattr(api_class, "__name__", "?") for matches, api_class, _ in GENERATIONS if matches(header)),
        None,
    )


def bind(library: Library) -> Api:
    """Return the API of the library's generation, bound to the library.

    Raises HeaderUnsupported if no generation matches the header, and LibraryUnusable if the library lacks a function.
    """
    for matches, api_class, _ in GENERATIONS:
        if matches(library.header):
            return api_class(library)
    raise HeaderUnsupported(
        "unknown generation of the LoRA API",
        library.name,
        "add a module for it to sdcpp/binding/api, and an entry to GENERATIONS",
    )
