"""Round float32 to float16 with numpy at an even speed. Imported by the child process.

numpy takes 3 ns for a value that float16 stores in full precision, and 80 ns for a smaller one, because it raises a
flag of the processor for each. Most values of a LoRA are small, and so are the scales of their blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The values of a piece. Its arrays fit into a cache.
_PIECE = 1 << 15
_UP, _DOWN = np.float32(2.0**112), np.float32(2.0**-110)


def as_float16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return values as float16, rounded to nearest, ties to even, in their shape. The bits are those of ``astype``.

    A value beyond the range becomes infinity, and NaN stays NaN.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    result = np.empty(flat.size, np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            # NaN keeps the bits of its payload in ``astype``.
            rounded = piece.astype(np.float16) if np.isnan(piece).any() else _rounded(piece)
            result[start : start + _PIECE] = rounded
    return result.reshape(values.shape)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return values that are not NaN as float16.

    Adding a power of two moves the last bit of a float16 to the last bit of a float32, so that the processor rounds
    there. The power depends on the exponent of the value (https://github.com/Maratyszcza/FP16).
    """
    bits = values.view(np.uint32)
    scaled = np.abs(values) * _UP
    scaled *= _DOWN
    bias = np.maximum(bits + bits & np.uint32(0xFF000000), np.uint32(0x71000000))
    bias >>= 1
    bias += np.uint32(0x07800000)
    scaled += bias.view(np.float32)
    found = scaled.view(np.uint32)
    exponent = found >> 13 & np.uint32(0x7C00)
    sign = bits >> 16 & np.uint32(0x8000)
    return (sign | exponent + (found & np.uint32(0x0FFF))).astype(np.uint16).view(np.float16)
