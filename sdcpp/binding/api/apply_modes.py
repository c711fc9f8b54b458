"""The ways of applying an adapter that a header offers."""

from __future__ import annotations

import re

from sdcpp.binding.declarations import Header
from sdcpp.errors import HeaderUnsupported

#: What revisions without a choice do: the adapter is merged into the weights before the picture is made.
ONLY = "immediately"

_MODE = re.compile(r"LORA_APPLY_(\w+)")


def apply_modes(header: Header) -> tuple[str, ...]:
    """Return the apply modes that the header's enum names, in its order; ONLY where there is no such enum."""
    enum = header.enums.get("lora_apply_mode_t")
    if enum is None:
        return (ONLY,)
    found = [match.group(1).lower() for name in enum.values if (match := _MODE.fullmatch(name))]
    return tuple(name for name in found if name != "mode_count")


def require_only_mode(mode: str) -> None:
    """Raise HeaderUnsupported unless a revision without a choice can do what ``mode`` asks for."""
    if mode not in (ONLY, "auto"):
        raise unknown_mode(mode, (ONLY,))


def unknown_mode(mode: str, known: tuple[str, ...]) -> HeaderUnsupported:
    """Return the error for a mode that a revision does not have."""
    return HeaderUnsupported(
        "the revision has no such LoRA apply mode", mode, f"choose one of {', '.join(known)}"
    )
