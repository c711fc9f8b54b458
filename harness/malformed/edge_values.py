"""Numbers at the limits of what a field of a file can hold."""

from __future__ import annotations

#: Numbers at which signed or unsigned integers of 32 or 64 bits overflow.
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
#: One number on each side of a change of sign or width. More numbers did not find more defects.
_USUAL = ("2p31-1", "2p32", "2p63-1", "2p64-1")


def around(true: int, bits: int, *, zero: bool = True) -> dict[str, int]:
    """Return wrong values for a field of ``bits`` bits, by name: zero, the neighbours of the true value, and limits."""
    values = {"zero": 0} if zero and true else {}
    if true > 1:
        values["one-less"] = true - 1
    values["one-more"] = true + 1
    return values | {word: LIMITS[word] for word in _USUAL if LIMITS[word] < 1 << bits}
