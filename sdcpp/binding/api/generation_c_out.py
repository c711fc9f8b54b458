"""Generation C since 2026-07: generate_image returns whether it succeeded, and the images through a parameter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpp.binding.api.context_options import IMAGE
from sdcpp.binding.api.generation_c import GenerationC
from sdcpp.binding.api.interface import Generation
from sdcpp.binding.declarations import Header, Pointer, Scalar


def matches_header(header: Header) -> bool:
    """Return whether a header is of this generation."""
    function = header.functions.get("generate_image")
    return (
        header.has_field(IMAGE, "loras")
        and function is not None
        and function.result == Scalar(name="bool")
        and [isinstance(argument.type, Pointer) for argument in function.arguments] == [True] * 4
    )


class GenerationCOut(GenerationC):
    """Passes the paths of adapters, and gets the images through a parameter."""

    def generate_images(
        self, pointer: Any, generation: Generation, lora_dir: Path, options: Mapping[str, Any]
    ) -> Any:
        """Return a pointer to the images or to the frames of a video, or None.

        Raises LibraryUnusable for a video if the library makes none.
        """
        params, alive = self.image_params(generation, lora_dir, options)
        images, count = ctypes.POINTER(self.library.struct("sd_image_t"))(), ctypes.c_int(0)
        # A null pointer is where the sound of a video would go.
        function, more = ("generate_video", (None,)) if generation.video else ("generate_image", ())
        succeeded = self.library.call(
            function, pointer, ctypes.byref(params), ctypes.byref(images), ctypes.byref(count), *more
        )
        del alive
        return images if succeeded and count.value >= generation.batch_count else None
