"""Blocks of the simple types taken apart into scales and codes and put together again.

Layouts: ggml's ggml-common.h (``block_q4_0`` ... ``block_q8_0``). A value is ``scale * code + offset``. This is
what choosing the codes oneself takes; everything else about types is left to ggml.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes

F64 = NDArray[np.float64]
#: Elements in a block of each of these types.
BLOCK = 32
#: type: (largest code, code that stands for zero, whether the block has an offset, whether a fifth bit)
_SHAPES = {
    "Q4_0": (15, 8, False, False),
    "Q4_1": (15, 0, True, False),
    "Q5_0": (31, 16, False, True),
    "Q5_1": (31, 0, True, True),
    "Q8_0": (127, 0, False, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What blocks can hold, [rows, blocks]: ``scale`` times a code from ``low`` to ``high``, plus ``offset``."""

    scale: F64
    offset: F64
    low: int
    high: int

    def codes(self, values: F64, block: int) -> F64:
        """Return the codes nearest to one column of values [rows] in block number ``block``."""
        scale = self.scale[:, block]
        safe = np.where(scale == 0, 1.0, scale)
        code = np.rint((values - self.offset[:, block]) / safe)
        return np.where(scale == 0, 0.0, np.clip(code, self.low, self.high))

    def decoded(self, codes: F64, block: int) -> F64:
        """Return the values of one column of codes."""
        value: F64 = self.scale[:, block] * codes + self.offset[:, block]
        return value


def known(kind: str) -> bool:
    """Return whether blocks of a type can be taken apart here."""
    return kind in _SHAPES


def grid(blocks: Bytes, kind: str) -> Grid:
    """Return the grid of rows of blocks [rows, bytes]."""
    top, zero, shifted, _ = _SHAPES[kind]
    head = blocks.reshape(blocks.shape[0], -1, _size(kind))[:, :, : 4 if shifted else 2]
    numbers = np.ascontiguousarray(head).view("<f2").astype(np.float64)
    offset = numbers[:, :, 1] if shifted else np.zeros(numbers.shape[:2])
    low = -127 if kind == "Q8_0" else -zero
    return Grid(scale=numbers[:, :, 0], offset=offset, low=low, high=top - zero)


def packed(blocks: Bytes, codes: F64, kind: str) -> Bytes:
    """Return rows of blocks with the scales of ``blocks`` and other codes [rows, row]."""
    _, zero, shifted, fifth = _SHAPES[kind]
    found = blocks.reshape(blocks.shape[0], -1, _size(kind)).copy()
    start = 4 if shifted else 2
    if kind == "Q8_0":
        found[:, :, start:] = codes.astype(np.int8).view(np.uint8).reshape(*found.shape[:2], BLOCK)
        return found.reshape(blocks.shape)
    whole = (codes + zero).astype(np.uint8).reshape(*found.shape[:2], BLOCK)
    if fifth:
        found[:, :, start : start + 4] = np.packbits(whole >> 4, axis=2, bitorder="little")
        start += 4
    low = whole & 15
    found[:, :, start:] = low[:, :, : BLOCK // 2] | low[:, :, BLOCK // 2 :] << 4
    return found.reshape(blocks.shape)


def _size(kind: str) -> int:
    _, _, shifted, fifth = _SHAPES[kind]
    return BLOCK + 2 if kind == "Q8_0" else 2 + 2 * shifted + 4 * fifth + BLOCK // 2
