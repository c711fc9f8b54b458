"""Generation C since 2026-07: generate_image returns whether it could, and gives its images by a parameter."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from sdcpp.binding.api.generation_c import GenerationC
from sdcpp.binding.api.interface import Generation
from sdcpp.binding.api.param_structs import IMAGE
from sdcpp.binding.declarations import Header, Pointer, Scalar


def matches_header(header: Header) -> bool:
    """Return whether this is the header of the generation."""
    function = header.functions.get("generate_image")
    return (
        header.has_field(IMAGE, "loras")
        and function is not None
        and function.result == Scalar(name="bool")
        and [isinstance(argument.type, Pointer) for argument in function.arguments] == [True] * 4
    )


class GenerationCOut(GenerationC):
    """Gives adapters by path and takes the images from a parameter."""

    def paint(self, pointer: Any, generation: Generation, lora_dir: Path) -> Any:
        """Return the list of images, or nothing."""
        params, alive = self.image_params(generation, lora_dir)
        images, count = ctypes.POINTER(self.library.struct("sd_image_t"))(), ctypes.c_int(0)
        done = self.library.call(
            "generate_image", pointer, ctypes.byref(params), ctypes.byref(images), ctypes.byref(count)
        )
        del alive
        return images if done and count.value else None
