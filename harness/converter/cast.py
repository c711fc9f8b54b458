"""Stored values turned from one type into another, exactly where that is possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import FLOATS, NUMPY, Bytes, Tensor

#: The largest finite F16.
F16_MAX = 65504.0
#: What GGUF holds in place of types it does not have: each holds all values of the other.
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
    """Return float values as stored bytes of a type whose elements are stored one by one.

    Rounds to nearest, ties to even. A value that the type cannot hold becomes infinity, or NaN in F8_E4M3, which has no
    infinity. NaN stays NaN.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values.astype(NUMPY[kind], copy=False)).reshape(-1).view(np.uint8)


def overflows(tensor: Tensor) -> bool:
    """Return whether F16 would turn a finite value of a tensor into infinity."""
    if tensor.kind in ("F16", "F8_E4M3", "F8_E5M2"):
        return False
    for piece in tensor.pieces():
        with np.errstate(invalid="ignore"):
            # 65520 is half-way to the next step, from where rounding goes to infinity.
            if np.any(np.abs(piece[np.isfinite(piece)]) >= F16_MAX + 16):
                return True
    return False


def is_float(kind: str) -> bool:
    """Return whether a type's values are numbers with a fraction: floats and blocks."""
    return kind in FLOATS or kind not in NUMPY
