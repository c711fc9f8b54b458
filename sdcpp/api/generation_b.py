"""Generation B (sdists 0.3.8 to 0.4.1): ``<lora:NAME:MULTIPLIER>`` in the prompt, looked up in one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcpp.api.params import CONTEXT, ParamsApi
from sdcpp.api.protocol import Generation, Lora
from sdcpp.declaration import Header
from sdcpp.errors import FileInvalid

#: In the library's order; the last one only with this project's patch.
SUFFIXES = (".safetensors", ".ckpt", ".gguf")


def fits(header: Header) -> bool:
    """Return whether this is the header of the generation."""
    return header.has_field(CONTEXT, "lora_model_dir") and header.has_field(CONTEXT, "lora_apply_mode")


def tag(lora: Lora, folder: Path) -> str:
    """Return the words that name an adapter of ``folder`` in a prompt.

    The library reads the name up to a colon and the multiplier with std::stof: signs and exponents are
    fine, and nine digits carry any float32 whole. Raises FileInvalid when the name would not lead to
    the file.
    """
    path = lora.path.absolute()
    if not path.is_relative_to(folder.absolute()):
        raise FileInvalid(
            "adapter lies outside the context's LoRA folder",
            lora.path,
            f"put it into {folder}, or open another context",
        )
    name = path.relative_to(folder.absolute()).with_suffix("").as_posix()
    if ":" in name or ">" in name:
        raise FileInvalid("adapter name would break the prompt", lora.path, "rename it without ':' and '>'")
    earlier = SUFFIXES[: SUFFIXES.index(path.suffix)] if path.suffix in SUFFIXES else SUFFIXES
    for suffix in earlier:
        if path.with_suffix(suffix).exists():
            raise FileInvalid(
                f"the library would load {path.with_suffix(suffix).name} instead of",
                lora.path,
                "give the two different names or folders",
            )
    return f"<lora:{name}:{lora.multiplier:.9g}>"


class GenerationB(ParamsApi):
    """Names adapters in the prompt; the library takes the words out again."""

    generation = "B"

    def place_folder(self, params: Any, lora_dir: Path) -> None:
        """Set the folder of adapters."""
        params.lora_model_dir = os.fsencode(lora_dir)

    def name_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:
        """Put the adapters at the prompt's end: taken out, they leave the prompt letter by letter."""
        tags = "".join(tag(lora, lora_dir) for lora in generation.loras)
        params.prompt = (generation.prompt + tags).encode()
        return []
