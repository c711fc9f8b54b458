"""Generation A with parameter structs (sdists 0.3.1 to 0.3.7): as B, but adapters are applied in one way only."""

from __future__ import annotations

from typing import Any

from sdcpp.binding.api.apply_modes import require_only_mode
from sdcpp.binding.api.generation_b import GenerationB
from sdcpp.binding.api.param_structs import CONTEXT
from sdcpp.binding.declarations import Header


def matches_header(header: Header) -> bool:
    """Return whether this is the header of the generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and not header.has_field(CONTEXT, "lora_apply_mode")


class GenerationA(GenerationB):
    """Merges the adapters that the prompt names into the weights."""

    generation = "A"

    def place_mode(self, params: Any, mode: str) -> None:  # noqa: ARG002
        """Refuse every mode but the only one, and auto, which can mean nothing else."""
        require_only_mode(mode)
