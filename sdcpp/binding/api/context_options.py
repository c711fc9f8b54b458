"""Options of a context, by the names that they have in 2026-05, and the struct members that set them in a revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdcpp.binding.declarations import Header

#: The struct of a context's parameters.
CONTEXT = "sd_ctx_params_t"
#: The members that replaced flags in 2026-06, and their values, from prepare_backend_assignments of upstream's program.
_REPLACED = {
    "offload_params_to_cpu": ("params_backend", "*=cpu"),
    "keep_clip_on_cpu": ("backend", "te=cpu"),
}
#: A flag that no longer exists since 2026-06, because every context can encode pictures.
_NEEDLESS = "vae_decode_only"


def members(header: Header, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of sd_ctx_params_t that set these options in a revision, and their values.

    An option that the revision does not have keeps its name; setting it raises HeaderUnsupported.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        member, text = _REPLACED.get(name, ("", ""))
        if header.has_field(CONTEXT, name):
            found[name] = value
        elif header.has_field(CONTEXT, member):
            found |= {member: text} if value else {}
        elif value or name != _NEEDLESS:
            found[name] = value
    return found


def why_missing(header: Header, option: str) -> str:
    """Return the reason why a revision does not have an option, or "" if it has it."""
    member, _ = _REPLACED.get(option, ("", ""))
    if option == _NEEDLESS or any(header.has_field(CONTEXT, name) for name in (option, member)):
        return ""
    return f"{CONTEXT} of this revision has no member {option}"
