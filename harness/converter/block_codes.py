"""Split blocks of the simple quantised types into scales and codes, and write blocks with other codes.

A value is ``scale * code + offset``. The layouts are those of ggml's ggml-common.h (``block_q4_0`` to ``block_q8_0``).
``rebalance`` needs this module, because it chooses the codes itself. Everything else about types is left to ggml.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes

F64 = NDArray[np.float64]
#: The number of elements in a block of each of these types.
BLOCK = 32
#: For each type: the largest code, the code of zero, whether a block has an offset, and whether codes have a fifth bit.
_SHAPES = {
    "Q4_0": (15, 8, False, False),
    "Q4_1": (15, 0, True, False),
    "Q5_0": (31, 16, False, True),
    "Q5_1": (31, 0, True, True),
    "Q8_0": (127, 0, False, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values that blocks can store: ``scale`` times a code from ``low`` to ``high``, plus ``offset``.

    ``scale`` and ``offset`` are [rows, blocks].
    """

    scale: F64
    offset: F64
    low: int
    high: int

    def codes(self, values: F64, block: int) -> F64:
        """Return the codes [rows] nearest to a column of values [rows], for the blocks of index ``block``."""
        scale = self.scale[:, block]
        divisor = np.where(scale == 0, 1.0, scale)
        code = np.rint((values - self.offset[:, block]) / divisor)
        return np.where(scale == 0, 0.0, np.clip(code, self.low, self.high))

    def values(self, codes: F64, block: int) -> F64:
        """Return the values [rows] of a column of codes [rows], for the blocks of index ``block``."""
        value: F64 = self.scale[:, block] * codes + self.offset[:, block]
        return value


def supports(kind: str) -> bool:
    """Return whether this module supports a type."""
    return kind in _SHAPES


def grid(blocks: Bytes, kind: str) -> Grid:
    """Return the scales and offsets of rows of blocks, uint8 [rows, bytes of a row], of type ``kind``."""
    top, zero, shifted, _ = _SHAPES[kind]
    head = blocks.reshape(blocks.shape[0], -1, _size(kind))[:, :, : 4 if shifted else 2]
    numbers = np.ascontiguousarray(head).view("<f2").astype(np.float64)
    offset = numbers[:, :, 1] if shifted else np.zeros(numbers.shape[:2])
    low = -127 if kind == "Q8_0" else -zero
    return Grid(scale=numbers[:, :, 0], offset=offset, low=low, high=top - zero)


def with_codes(blocks: Bytes, codes: F64, kind: str) -> Bytes:
    """Return copies of ``blocks``, uint8 [rows, bytes of a row], with the codes [rows, elements of a row]."""
    _, zero, shifted, fifth = _SHAPES[kind]
    result = blocks.reshape(blocks.shape[0], -1, _size(kind)).copy()
    start = 4 if shifted else 2
    if kind == "Q8_0":
        result[:, :, start:] = codes.astype(np.int8).view(np.uint8).reshape(*result.shape[:2], BLOCK)
        return result.reshape(blocks.shape)
    stored = (codes + zero).astype(np.uint8).reshape(*result.shape[:2], BLOCK)
    if fifth:
        result[:, :, start : start + 4] = np.packbits(stored >> 4, axis=2, bitorder="little")
        start += 4
    low = stored & 15
    result[:, :, start:] = low[:, :, : BLOCK // 2] | low[:, :, BLOCK // 2 :] << 4
    return result.reshape(blocks.shape)


def _size(kind: str) -> int:
    """Return the number of bytes of a block."""
    _, _, shifted, fifth = _SHAPES[kind]
    return BLOCK + 2 if kind == "Q8_0" else 2 + 2 * shifted + 4 * fifth + BLOCK // 2
