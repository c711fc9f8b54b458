"""Values at the limits of what a field can hold."""

from __future__ import annotations

#: Where signed and unsigned arithmetic of 32 and 64 bits goes over.
LIMITS = {
    "2p31-1": (1 << 31) - 1,
    "2p31": 1 << 31,
    "2p32-1": (1 << 32) - 1,
    "2p32": 1 << 32,
    "2p62": 1 << 62,
    "2p63-1": (1 << 63) - 1,
    "2p63": 1 << 63,
    "2p64-1": (1 << 64) - 1,
}
#: One on each side of every change of sign and width; more of them have found nothing else.
_USUAL = ("2p31-1", "2p32", "2p63-1", "2p64-1")


def around(true: int, bits: int, *, zero: bool = True) -> dict[str, int]:
    """Return readable names and values: zero, one off the true value, and the limits that fit into ``bits``."""
    values = {"zero": 0} if zero and true else {}
    if true > 1:
        values["one-less"] = true - 1
    values["one-more"] = true + 1
    return values | {word: LIMITS[word] for word in _USUAL if LIMITS[word] < 1 << bits}
