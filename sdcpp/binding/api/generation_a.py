"""Generation A with parameter structs (sdists 0.3.1 to 0.3.7): generation B with only one LoRA apply mode."""

from __future__ import annotations

from typing import Any

from sdcpp.binding.api.apply_modes import require_only_mode
from sdcpp.binding.api.context_options import CONTEXT
from sdcpp.binding.api.generation_b import GenerationB
from sdcpp.binding.declarations import Header


def matches_header(header: Header) -> bool:
    """Return whether a header is of this generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and not header.has_field(CONTEXT, "lora_apply_mode")


class GenerationA(GenerationB):
    """Names adapters in the prompt; the library merges them into the weights."""

    generation = "A"

    def set_apply_mode(self, params: Any, mode: str) -> None:  # noqa: ARG002
        """Raise HeaderUnsupported unless the mode is the only one of this generation, or auto."""
        require_only_mode(mode)
