"""Convert values to float types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import FLOATS, NUMPY, Bytes, Tensor
from harness.quantising.float16 import as_float16

#: The largest finite F16.
F16_MAX = 65504.0
#: For each type that GGUF does not have, a GGUF type that has all its values.
IN_GGUF = {
    "F8_E4M3": "F16",
    "F8_E5M2": "F16",
    "BOOL": "I8",
    "U8": "I16",
    "U16": "I32",
    "U32": "I64",
    "U64": "I64",
}


def cast(values: NDArray[np.floating], kind: str) -> Bytes:
    """Return float values as bytes, uint8, of a type that is not quantised in blocks.

    Values are rounded to nearest, ties to even. A value beyond the range of the type becomes infinity, or NaN in
    F8_E4M3, which has no infinity. NaN stays NaN.
    """
    if kind == "F16" and values.dtype == np.float32:
        return as_float16(np.asarray(values, np.float32)).reshape(-1).view(np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values.astype(NUMPY[kind], copy=False)).reshape(-1).view(np.uint8)


def overflows(tensor: Tensor) -> bool:
    """Return whether a finite value of a tensor becomes infinity in F16."""
    if tensor.kind in ("F16", "F8_E4M3", "F8_E5M2"):
        return False
    for piece in tensor.pieces():
        with np.errstate(invalid="ignore"):
            # 65520 is halfway between the largest finite value and the next step. From there on F16 rounds to infinity.
            if np.any(np.abs(piece[np.isfinite(piece)]) >= F16_MAX + 16):
                return True
    return False


def is_float(kind: str) -> bool:
    """Return whether a type stores floating-point values: a float type or a quantised type."""
    return kind in FLOATS or kind not in NUMPY
