"""Options of a context, by the names that they have in 2026-05, and the struct members that set them in a revision.

Upstream moved some options from the context to its pictures. Such an option still belongs to the context here: every
picture of the context then has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdcpp.binding.declarations import Header

#: The struct of a context's parameters.
CONTEXT = "sd_ctx_params_t"
#: The struct of a picture's parameters.
IMAGE = "sd_img_gen_params_t"
#: The members that replaced flags in 2026-06, and their values, from prepare_backend_assignments of upstream's program.
_REPLACED = {
    "offload_params_to_cpu": ("params_backend", "*=cpu"),
    "keep_clip_on_cpu": ("backend", "te=cpu"),
}
#: A flag that no longer exists since 2026-06, because every context can encode pictures.
_NEEDLESS = "vae_decode_only"
#: The flags that are members of the parameters of pictures and videos since upstream's commit e071aa3 of 2026-07-06,
#: with the same names.
_OF_PICTURES = ("circular_x", "circular_y")


def members(header: Header, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of sd_ctx_params_t that set these options in a revision, and their values.

    The options that ``picture_members`` sets are left out. An option that the revision does not have keeps its name;
    setting it raises HeaderUnsupported.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        member, text = _REPLACED.get(name, ("", ""))
        if _moved_to_pictures(header, name):
            continue
        if header.has_field(CONTEXT, name):
            found[name] = value
        elif header.has_field(CONTEXT, member):
            found |= {member: text} if value else {}
        elif value or name != _NEEDLESS:
            found[name] = value
    return found


def picture_members(header: Header, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a picture's parameters that set these options in a revision, and their values."""
    return {name: value for name, value in options.items() if _moved_to_pictures(header, name)}


def _moved_to_pictures(header: Header, option: str) -> bool:
    """Return whether a revision sets an option for each picture, and not for the context."""
    return (
        option in _OF_PICTURES and header.has_field(IMAGE, option) and not header.has_field(CONTEXT, option)
    )


def why_missing(header: Header, option: str) -> str:
    """Return the reason why a revision does not have an option, or "" if it has it."""
    member, _ = _REPLACED.get(option, ("", ""))
    if option == _NEEDLESS or _moved_to_pictures(header, option):
        return ""
    if any(header.has_field(CONTEXT, name) for name in (option, member)):
        return ""
    if option in _OF_PICTURES:
        return f"neither {CONTEXT} nor {IMAGE} of this revision has a member {option}"
    return f"{CONTEXT} of this revision has no member {option}"
