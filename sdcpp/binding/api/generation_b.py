"""Generation B (sdists 0.3.8 to 0.4.1): ``<lora:NAME:MULTIPLIER>`` in the prompt names a file in one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcpp.binding.api.context_options import CONTEXT
from sdcpp.binding.api.interface import Generation
from sdcpp.binding.api.lora_tags import prompt_with_tags
from sdcpp.binding.api.param_structs import ParamsApi
from sdcpp.binding.declarations import Header


def matches_header(header: Header) -> bool:
    """Return whether a header is of this generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and header.has_field(CONTEXT, "lora_apply_mode")


class GenerationB(ParamsApi):
    """Names adapters in the prompt; the library removes the tags before it encodes the prompt."""

    generation = "B"

    def set_lora_folder(self, params: Any, lora_dir: Path) -> None:
        """Set the folder in which the library searches for adapters."""
        params.lora_model_dir = os.fsencode(lora_dir)

    def set_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:
        """Set the prompt with a tag for each adapter."""
        params.prompt = prompt_with_tags(generation, lora_dir)
        return []
