"""Generation A with parameter structs (sdists 0.3.1 to 0.3.7): as B, but adapters are applied in one way only."""

from __future__ import annotations

from typing import Any

from sdcpp.api.generation_b import GenerationB
from sdcpp.api.modes import require_one
from sdcpp.api.params import CONTEXT
from sdcpp.declaration import Header


def fits(header: Header) -> bool:
    """Return whether this is the header of the generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and not header.has_field(CONTEXT, "lora_apply_mode")


class GenerationA(GenerationB):
    """Merges the adapters that the prompt names into the weights."""

    generation = "A"

    def place_mode(self, params: Any, mode: str) -> None:  # noqa: ARG002
        """Refuse every mode but the only one, and auto, which can mean nothing else."""
        require_one(mode)
