"""Show text from files, from logs of a library and from other programs without the commands to a terminal in it."""

from __future__ import annotations

import re
import unicodedata

#: All that is not printable ASCII. Most of it is printable, too.
_OTHER = re.compile(r"[^ -~]")


def printable(text: str, kept: str = "") -> str:
    r"""Return a text whose characters are all visible.

    Control characters, characters that change the direction of writing, lone surrogates and the like become escapes of
    Python, such as ``\x1b`` or ``\u202e``. The characters of ``kept``, for example line breaks, stay as they are.
    """
    return _OTHER.sub(lambda found: found[0] if _is_visible(found[0], kept) else ascii(found[0])[1:-1], text)


def _is_visible(character: str, kept: str) -> bool:
    return character in kept or character.isprintable() or unicodedata.category(character) == "Zs"
