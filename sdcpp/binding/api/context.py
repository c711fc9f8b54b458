"""Open a context of any generation, generate pictures with it, and close it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sdcpp.binding import ggml
from sdcpp.binding.api.backend_in_use import backend_in_use
from sdcpp.binding.api.interface import Generation, GenerationFailed, Picture
from sdcpp.binding.library import Library, LogLine

#: A function that generates images in a context. It returns a pointer to them, which the caller must free, or None.
GenerateImages = Callable[[Any, Generation], Any]


class LibraryHolder(Protocol):
    """An object with a loaded library: an ``Api`` of any generation."""

    @property
    def library(self) -> Library:
        """Return the loaded library."""
        ...


def warnings_and_errors(lines: list[LogLine]) -> tuple[str, ...]:
    """Return the texts of the warnings and errors among log lines."""
    return tuple(line.text for line in lines if line.level in ("warn", "error"))


def open_context(
    api: LibraryHolder, create: Callable[[], Any], generate_images: GenerateImages, function: str
) -> NativeContext:
    """Return the context to which ``create`` returns a pointer.

    ``generate_images`` generates its pictures by calling the C function named ``function``.
    Raises GenerationFailed if ``create`` returns NULL.
    """
    library = api.library
    with library.record_log() as lines:
        pointer = create()
    if not pointer:
        library.raise_callback_error()
        raise GenerationFailed("new_sd_ctx", warnings_and_errors(lines))
    context = NativeContext(api, pointer, lines, generate_images, function)
    try:
        library.raise_callback_error()
    except BaseException:
        context.close()
        raise
    return context


class NativeContext:
    """A context that new_sd_ctx returned. It implements the protocol ``Context``."""

    def __init__(
        self,
        api: LibraryHolder,
        pointer: Any,
        lines: list[LogLine],
        generate_images: GenerateImages,
        function: str,
    ) -> None:
        self.api, self.pointer = api, pointer
        self._generate_images, self._function = generate_images, function
        self.backend, self.evidence = backend_in_use(lines, ggml.devices(api.library))

    def generate(self, generation: Generation) -> Picture:
        """Generate a picture or a batch; see ``Context.generate``."""
        library = self.api.library
        with library.record_log() as lines:
            images = self._generate_images(self.pointer, generation)
        picture = _copy_and_free(library, images, generation.batch_count) if images else None
        library.raise_callback_error()
        if picture is None:
            function = "generate_video" if generation.video else self._function
            raise GenerationFailed(function, warnings_and_errors(lines))
        return picture

    def close(self) -> None:
        """Free the context, unless it is already freed."""
        if self.pointer:
            pointer, self.pointer = self.pointer, None
            self.api.library.call("free_sd_ctx", pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copy_and_free(library: Library, images: Any, count: int) -> Picture | None:
    """Free an array of ``count`` images of one size. Return a copy with the first image on top.

    The result is None if an image has no pixels.
    """
    batch, picture = [images[number] for number in range(count)], None
    if all(image.data for image in batch):
        pieces = [ctypes.string_at(i.data, i.width * i.height * i.channel) for i in batch]
        first, height = batch[0], sum(image.height for image in batch)
        picture = Picture(width=first.width, height=height, channels=first.channel, data=b"".join(pieces))
    if library.has("free_sd_images"):  # since 2026-06, because on Windows the library may use another heap
        library.call("free_sd_images", images, count)
    else:
        for image in batch:
            if image.data:
                library.free(image.data)
        library.free(images)
    return picture
