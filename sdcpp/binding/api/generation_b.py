"""Generation B (sdists 0.3.8 to 0.4.1): ``<lora:NAME:MULTIPLIER>`` in the prompt, looked up in one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcpp.binding.api.interface import Generation
from sdcpp.binding.api.lora_tags import prompt_with_tags
from sdcpp.binding.api.param_structs import CONTEXT, ParamsApi
from sdcpp.binding.declarations import Header


def matches_header(header: Header) -> bool:
    """Return whether this is the header of the generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and header.has_field(CONTEXT, "lora_apply_mode")


class GenerationB(ParamsApi):
    """Names adapters in the prompt; the library takes the words out again."""

    generation = "B"

    def place_folder(self, params: Any, lora_dir: Path) -> None:
        """Set the folder of adapters."""
        params.lora_model_dir = os.fsencode(lora_dir)

    def name_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:
        """Put the adapters into the prompt."""
        params.prompt = prompt_with_tags(generation, lora_dir)
        return []
