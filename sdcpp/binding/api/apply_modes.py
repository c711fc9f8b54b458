"""The LoRA apply modes: when the library applies an adapter to the weights."""

from __future__ import annotations

import re

from sdcpp.binding.declarations import Header
from sdcpp.errors import HeaderUnsupported

#: The mode of revisions that have only one: the adapter is merged into the weights before the picture is generated.
ONLY_MODE = "immediately"

_MODE = re.compile(r"LORA_APPLY_(\w+)")


def apply_modes(header: Header) -> tuple[str, ...]:
    """Return the modes that the header's enum names, in its order, or ONLY_MODE if there is no such enum."""
    enum = header.enums.get("lora_apply_mode_t")
    if enum is None:
        return (ONLY_MODE,)
    names = [match.group(1).lower() for name in enum.values if (match := _MODE.fullmatch(name))]
    return tuple(name for name in names if name != "mode_count")


def require_only_mode(mode: str) -> None:
    """Raise HeaderUnsupported unless ``mode`` is available in a revision that has only one mode."""
    if mode not in (ONLY_MODE, "auto"):
        raise unknown_mode(mode, (ONLY_MODE,))


def unknown_mode(mode: str, known: tuple[str, ...]) -> HeaderUnsupported:
    """Return the error for a mode that is not among those of the revision, ``known``."""
    return HeaderUnsupported(
        "the revision has no such LoRA apply mode", mode, f"choose one of {', '.join(known)}"
    )
