"""Adapters named in the prompt: ``<lora:NAME:MULTIPLIER>``, looked up in one folder (sdists 0.1.0 to 0.4.1)."""

from __future__ import annotations

from pathlib import Path

from sdcpp.binding.api.interface import Generation, Lora
from sdcpp.errors import FileInvalid

#: In the library's order; the last one only with this project's patch.
SEARCH_ORDER = (".safetensors", ".ckpt", ".gguf")


def prompt_with_tags(generation: Generation, folder: Path) -> bytes:
    """Return the prompt with its adapters at the end: taken out, they leave it letter by letter."""
    return (generation.prompt + "".join(lora_tag(lora, folder) for lora in generation.loras)).encode()


def lora_tag(lora: Lora, folder: Path) -> str:
    """Return the words that name an adapter of ``folder`` in a prompt.

    The library reads the name up to a colon and the multiplier with std::stof: signs and exponents are
    fine, and nine digits carry any float32 whole. Raises FileInvalid when the name would not lead to
    the file.
    """
    path = lora.path.absolute()
    if not path.is_relative_to(folder.absolute()):
        raise FileInvalid(
            "adapter is outside of the context's LoRA folder",
            lora.path,
            f"put it into {folder}, or open another context",
        )
    name = path.relative_to(folder.absolute()).with_suffix("").as_posix()
    if ":" in name or ">" in name:
        raise FileInvalid(
            "adapter has a name that a prompt cannot contain", lora.path, "rename it without ':' and '>'"
        )
    earlier = SEARCH_ORDER[: SEARCH_ORDER.index(path.suffix)] if path.suffix in SEARCH_ORDER else SEARCH_ORDER
    for suffix in earlier:
        if path.with_suffix(suffix).exists():
            raise FileInvalid(
                f"the library would load {path.with_suffix(suffix).name} instead of",
                lora.path,
                "give the two files different names or folders",
            )
    return f"<lora:{name}:{lora.multiplier:.9g}>"
