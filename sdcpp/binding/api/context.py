"""A context of any generation: opened by some call, asked for pictures, closed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sdcpp.binding import ggml
from sdcpp.binding.api.backend_in_use import backend_in_use
from sdcpp.binding.api.interface import Generation, GenerationFailed, Picture
from sdcpp.binding.library import Library, LogLine

#: Returns the library's list of images, the caller's to free, or nothing.
GenerateImages = Callable[[Any, Generation], Any]


class Caller(Protocol):
    """What a context keeps of the generation that opened it."""

    @property
    def library(self) -> Library:
        """Return the loaded library."""
        ...


def complaints(lines: list[LogLine]) -> tuple[str, ...]:
    """Return the warnings and errors among log lines."""
    return tuple(line.text for line in lines if line.level in ("warn", "error"))


def open_context(api: Caller, make: Callable[[], Any], paint: GenerateImages, call: str) -> NativeContext:
    """Return the context that ``make`` gives a pointer to; raises Refused when it gives none.

    ``paint`` makes its pictures, by the function named ``call``.
    """
    library = api.library
    with library.recorded() as lines:
        pointer = make()
    if not pointer:
        library.reraise()
        raise GenerationFailed("new_sd_ctx", complaints(lines))
    context = NativeContext(api, pointer, lines, paint, call)
    try:
        library.reraise()
    except BaseException:
        context.close()
        raise
    return context


class NativeContext:
    """A context made by new_sd_ctx."""

    def __init__(
        self, api: Caller, pointer: Any, lines: list[LogLine], paint: GenerateImages, call: str
    ) -> None:
        self.api, self.pointer, self._paint, self._call = api, pointer, paint, call
        self.backend, self.evidence = backend_in_use(lines, ggml.devices(api.library))

    def generate(self, generation: Generation) -> Picture:
        """Make a picture; see Context.generate."""
        library = self.api.library
        with library.recorded() as lines:
            images = self._paint(self.pointer, generation)
        picture = _taken(library, images) if images else None
        library.reraise()
        if picture is None:
            raise GenerationFailed(self._call, complaints(lines))
        return picture

    def close(self) -> None:
        """Free the context."""
        if self.pointer:
            pointer, self.pointer = self.pointer, None
            self.api.library.call("free_sd_ctx", pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _taken(library: Library, images: Any) -> Picture | None:
    """Return a copy of the first image, None where it has no pixels, and free the library's list of one."""
    image, picture = images[0], None
    if image.data:
        data = ctypes.string_at(image.data, image.width * image.height * image.channel)
        picture = Picture(width=image.width, height=image.height, channels=image.channel, data=data)
    if library.has("free_sd_images"):  # since 2026-06: on Windows the library may have a heap of its own
        library.call("free_sd_images", images, 1)
    else:
        if image.data:
            library.free(image.data)
        library.free(images)
    return picture
