"""Generation C (sdists 0.4.2 to 0.4.7): an array of sd_lora_t {is_high_noise, multiplier, path}."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcpp.binding.api.context_options import IMAGE
from sdcpp.binding.api.interface import Generation
from sdcpp.binding.api.param_structs import ParamsApi
from sdcpp.binding.declarations import Header, Named, Pointer


def matches_header(header: Header) -> bool:
    """Return whether a header is of this generation."""
    function = header.functions.get("generate_image")
    # Since 2026-07 it returns a bool, and the images through a parameter: see generation_c_out.
    returns_images = (
        function is not None
        and isinstance(function.result, Pointer)
        and isinstance(function.result.target, Named)
        and function.result.target.kind == "struct"
    )
    return header.has_field(IMAGE, "loras") and returns_images


class GenerationC(ParamsApi):
    """Passes the paths of adapters."""

    generation = "C"

    def set_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:  # noqa: ARG002
        """Set the prompt and the array of adapters."""
        params.prompt = generation.prompt.encode()
        loras = (self.library.struct("sd_lora_t") * len(generation.loras))()
        for entry, lora in zip(loras, generation.loras, strict=True):
            entry.is_high_noise = lora.is_high_noise
            entry.multiplier = lora.multiplier
            entry.path = os.fsencode(lora.path)
        params.loras, params.lora_count = loras, len(generation.loras)
        return [loras]
