"""Read rewritten files in tests, with numpy and the published formulas alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.adapters import definitions
from harness.formats.read import read_tensors

F64 = NDArray[np.float64]
_RANDOM = np.random.default_rng(23)


def draw(*shape: int) -> NDArray[np.float32]:
    """Return random values."""
    return _RANDOM.standard_normal(shape).astype(np.float32)


def stored(path: Path) -> dict[str, F64]:
    """Return the values of all tensors of a file, by name."""
    return {name: t.values().astype(np.float64) for name, t in read_tensors(path).tensors.items()}


def product(up: object, down: object) -> F64:
    """Return the product of two factors as a matrix."""
    a, b = np.asarray(up, np.float64), np.asarray(down, np.float64)
    found: F64 = a.reshape(len(a), -1) @ b.reshape(len(b), -1)
    return found


def delta(tensors: dict[str, F64], key: str, shape: tuple[int, ...]) -> F64:
    """Return the ΔW [*shape] that a plain pair, a LoHa, a LoKr or a difference has under a key, alpha included."""
    own = {
        name.removeprefix(f"{key}."): value for name, value in tensors.items() if name.startswith(f"{key}.")
    }
    alpha = float(own["alpha"].reshape(-1)[0]) if "alpha" in own else None
    for down, up in (("lora_down.weight", "lora_up.weight"), ("lora_A.weight", "lora_B.weight")):
        if down in own:
            scale = 1.0 if alpha is None else alpha / len(own[down])
            return scale * definitions.lora({"down": own[down], "up": own[up]}, shape)
    if "hada_w1_a" in own:
        assert alpha is not None
        return alpha / len(own["hada_w1_b"]) * definitions.loha(own, shape)
    if "lokr_w1" in own:
        return definitions.lokr(own, shape)
    return definitions.diff(own, shape)


def close(found: F64, wanted: F64) -> bool:
    """Return whether values that were rounded to F32 are equal."""
    error = np.linalg.norm(found - wanted)
    return found.shape == wanted.shape and bool(error <= 1e-6 * np.linalg.norm(wanted))
