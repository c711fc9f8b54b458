"""Quantise to Q8_0 with numpy: the bytes of ggml's reference, in half its time. Imported by the child process.

ggml's reference (``quantize_row_q8_0_ref``) rounds value by value. Q8_0 has one rounding only, so nothing is searched,
and numpy does the same arithmetic in float32 for many values at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.quantising.float16 import as_float16

F32 = NDArray[np.float32]
#: The elements of a block, and its bytes: a scale in F16 and a code for each element.
BLOCK, BYTES = 32, 34
#: The largest code.
LARGEST = np.float32(127)
#: The bit of the sign of a float32, and the bits of the largest float32 below one half.
_SIGN, _BELOW_HALF = np.int32(-(1 << 31)), np.int32(0x3EFFFFFF)


def quantise_q8_0(values: F32, target: NDArray[np.uint8], scratch: tuple[F32, F32]) -> bool:
    """Put the blocks of flat float32 ``values`` into ``target``, uint8 [values / 32 * 34].

    ``scratch`` are two arrays as long as ``values``, with any content. Return False, and leave ``target`` as it is, if
    a scale or its reciprocal is not finite, because ggml's result then depends on the compiler.
    """
    scaled, halves = scratch
    np.abs(values, out=scaled)
    scale: F32 = np.maximum.reduceat(scaled, np.arange(0, values.size, BLOCK))
    scale /= LARGEST
    with np.errstate(over="ignore"):
        inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    if not (np.isfinite(scale).all() and np.isfinite(inverse).all()):
        return False
    rows = scaled.reshape(-1, BLOCK)
    np.multiply(values.reshape(-1, BLOCK), inverse[:, None], out=rows)
    # Rounding is to nearest, ties away from zero: add the largest number below one half, with the sign of the value,
    # and drop the fraction. The conversion to int8 drops it.
    bits = halves.view(np.int32)
    np.bitwise_and(scaled.view(np.int32), _SIGN, out=bits)
    np.bitwise_or(bits, _BELOW_HALF, out=bits)
    np.add(scaled, halves, out=scaled)
    blocks = target.reshape(-1, BYTES)
    blocks[:, :2] = as_float16(scale).view(np.uint8).reshape(-1, 2)
    np.copyto(blocks[:, 2:].view(np.int8), rows, casting="unsafe")
    return True
