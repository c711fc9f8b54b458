"""Tags in the prompt that name adapters in one folder, ``<lora:NAME:MULTIPLIER>`` (sdists 0.1.0 to 0.4.1)."""

from __future__ import annotations

from pathlib import Path

from sdcpp.binding.api.interface import Generation, Lora
from sdcpp.errors import FileInvalid

#: What the name of an adapter for the high-noise model begins with.
HIGH_NOISE = "|high_noise|"
#: The suffixes that the library tries, in its order. It tries .gguf only with a patch of this project.
SEARCH_ORDER = (".safetensors", ".ckpt", ".gguf")


def prompt_with_tags(generation: Generation, folder: Path) -> bytes:
    """Return the prompt with one tag for each adapter appended.

    Upstream removes the tags, so that it encodes the prompt unchanged.
    """
    return (generation.prompt + "".join(lora_tag(lora, folder) for lora in generation.loras)).encode()


def lora_tag(lora: Lora, folder: Path) -> str:
    """Return the tag that names an adapter in ``folder``.

    The library reads the name up to a colon, and the multiplier with std::stof, which accepts signs and exponents. Nine
    digits represent every float32 exactly. Raises FileInvalid if the library would not load this file by its name.
    """
    path = lora.path.absolute()
    if not path.is_relative_to(folder.absolute()):
        raise FileInvalid(
            "adapter is outside of the context's LoRA folder",
            lora.path,
            f"put it into {folder}, or open a context with another LoRA folder",
        )
    name = path.relative_to(folder.absolute()).with_suffix("").as_posix()
    if ":" in name or ">" in name:
        raise FileInvalid(
            "adapter has a name that a prompt cannot contain",
            lora.path,
            "rename the file, without ':' and '>'",
        )
    earlier = SEARCH_ORDER[: SEARCH_ORDER.index(path.suffix)] if path.suffix in SEARCH_ORDER else SEARCH_ORDER
    for suffix in earlier:
        if path.with_suffix(suffix).exists():
            raise FileInvalid(
                f"the library would load {path.with_suffix(suffix).name} instead of",
                lora.path,
                "give the two files different names or folders",
            )
    return f"<lora:{HIGH_NOISE if lora.is_high_noise else ''}{name}:{lora.multiplier:.9g}>"
