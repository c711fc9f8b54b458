"""The ΔW that the tensors of a module define, its norm, and the distance between two ΔW.

Low-rank changes are compared through the Gram matrices [rank, rank] of their factors, so ΔW itself is not formed.
All computations are in float64.

``harness.adapters.definitions`` computes the same changes for the reference pictures. The two modules are independent
on purpose, and a test compares them (tests/unit/converter/test_weight_change.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.converter.modules import Module
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]
#: If ΔW must be formed, the number of bytes of the rows that are formed at a time.
PIECE = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """ΔW = left @ right, with ``left`` [out, r] and ``right`` [r, inner].

    ``shape`` is the shape of the weight; inner is the product of its axes after the first.
    """

    left: F64
    right: F64
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kronecker:
    """ΔW = kron(first, second) (https://arxiv.org/abs/2212.10650, section 4.2).

    ``second`` may have the axes of a kernel. ``shape`` is the shape of the weight.
    """

    first: F64
    second: F64
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """ΔW = (a.left @ a.right) * (b.left @ b.right), multiplied element by element (https://arxiv.org/abs/2108.06098)."""

    a: LowRank
    b: LowRank
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """ΔW, stored in full."""

    value: F64
    shape: tuple[int, ...]


WeightChange = LowRank | Kronecker | Product | Dense


def scale(module: Module) -> float:
    """Return the number by which the product of the factors is multiplied.

    It is ``scale`` if that is stored, otherwise alpha / rank. If no tensor has alpha, the scale is the one that the
    metadata declare. Without alpha or without a rank it is 1. Raises AdapterUnknown if the scalar has several values.
    """
    if "scale" in module.parts:
        return _scalar(module, "scale")
    if "alpha" not in module.parts:
        return module.declared.value(module.rank or 1) if module.declared else 1.0
    return 1.0 if module.rank is None else _scalar(module, "alpha") / module.rank


def alpha_is_used(module: Module) -> bool:
    """Return whether alpha counts: not for stored differences, and in LyCORIS not if both matrices of LoKr are whole.

    Source: lycoris/modules/lokr.py. PEFT multiplies every LoKr by the scale.
    """
    if module.kind == "lokr" and not {"lokr_w1_b", "lokr_w2_b"} & set(module.parts):
        return "alpha" not in module.parts and module.declared is not None and module.declared.always
    return module.kind in ("lora", "tucker", "loha", "lokr")


def _scalar(module: Module, part: str) -> float:
    tensor = module.parts[part]
    if tensor.size != 1:
        raise AdapterUnknown(f"{part} has {tensor.size} values", tensor.name, "it must have one")
    return float(tensor.values().reshape(-1)[0])


def weight_change(module: Module) -> WeightChange:
    """Return the ΔW of a module, including the scale, in the form of its kind. A module of a bias has that of the bias.

    The magnitudes of a DoRA are ignored, because they need the weight of the base model. Raises AdapterUnknown if parts
    are missing or do not fit together.
    """
    builders: dict[str, Callable[[Module], WeightChange]] = {
        "lora": _lora,
        "tucker": _lora,
        "loha": _loha,
        "lokr": _lokr,
        "full": _full,
        "bias": _full,
        "replaced": _full,
    }
    if module.kind not in builders:
        raise AdapterUnknown(f"adapter lacks {module.missing}", module.key, "check that the file is complete")
    if module.declared is not None and module.declared.problem and "alpha" not in module.parts:
        raise AdapterUnknown(module.declared.problem, module.key, "store alpha as a tensor")
    try:
        return builders[module.kind](module)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(f"{part} {list(t.shape)}" for part, t in module.parts.items())
        raise AdapterUnknown(f"tensors do not fit together ({shapes})", module.key, str(error)) from error


def values(module: Module, part: str) -> F64:
    """Return the values of a part in float64."""
    return module.parts[part].values().astype(np.float64)


def _lora(module: Module) -> LowRank:
    up, down = values(module, "up"), values(module, "down")
    left = up.reshape(up.shape[0], -1)
    if "mid" in module.parts:
        # The Tucker decomposition of lycoris: einsum("m n k l, i m, n j -> i j k l", mid, up, down).
        mid, flat = values(module, "mid"), down.reshape(down.shape[0], -1)
        right = np.einsum("mnk,nj->mjk", mid.reshape(*mid.shape[:2], -1), flat, optimize=True)
        shape: tuple[int, ...] = (left.shape[0], flat.shape[1], *mid.shape[2:])
        right = right.reshape(right.shape[0], -1)
    else:
        right = down.reshape(down.shape[0], -1)
        shape = (left.shape[0], *down.shape[1:])
    if left.shape[1] != right.shape[0]:
        raise ValueError(f"the inner widths are {left.shape[1]} and {right.shape[0]}")
    return LowRank(left=scale(module) * left, right=right, shape=shape)


def _loha(module: Module) -> Product:
    pairs = []
    for i in (1, 2):
        a, b = values(module, f"hada_w{i}_a"), values(module, f"hada_w{i}_b")
        kernel: tuple[int, ...] = ()
        if f"hada_t{i}" in module.parts:
            # The Tucker decomposition of lycoris: einsum("i j k l, j r, i p -> p r k l", t, b, a), where a is [rank,
            # out].
            core = values(module, f"hada_t{i}")
            kernel = core.shape[2:]
            right = np.einsum("ijk,jr->irk", core.reshape(*core.shape[:2], -1), b, optimize=True)
            a, right = a.T, right.reshape(right.shape[0], -1)
        else:
            right = b
        if a.shape[1] != right.shape[0]:
            raise ValueError(f"the inner widths are {a.shape[1]} and {right.shape[0]}")
        pairs.append(LowRank(left=a, right=right, shape=(a.shape[0], b.shape[1], *kernel)))
    first, second = pairs
    if first.left.shape[0] != second.left.shape[0] or first.right.shape[1] != second.right.shape[1]:
        raise ValueError("the two products have different shapes")
    scaled = LowRank(left=scale(module) * first.left, right=first.right, shape=first.shape)
    return Product(a=scaled, b=second, shape=first.shape)


def _lokr(module: Module) -> Kronecker:
    first = _lokr_factor(module, 1)
    second = _lokr_factor(module, 2)
    shape = (first.shape[0] * second.shape[0], first.shape[1] * second.shape[1], *second.shape[2:])
    return Kronecker(
        first=(scale(module) if alpha_is_used(module) else 1.0) * first, second=second, shape=shape
    )


def _lokr_factor(module: Module, number: int) -> F64:
    """Return the first or the second matrix of a LoKr, multiplied out if it is stored as a product."""
    full, a, b = (f"lokr_w{number}{part}" for part in ("", "_a", "_b"))
    if full in module.parts:
        return values(module, full)
    left, right = values(module, a), values(module, b)
    if number == 2 and "lokr_t2" in module.parts:
        core = values(module, "lokr_t2")
        kernel: F64 = np.einsum("ijkl,ip,jr->prkl", core, left, right, optimize=True)
        return kernel
    product: F64 = left.reshape(left.shape[0], -1) @ right.reshape(right.shape[0], -1)
    return product.reshape(left.shape[0], *right.shape[1:])


def _full(module: Module) -> Dense:
    part = next(p for p in ("diff", "diff_b", "up_bias", "new_weight", "new_bias") if p in module.parts)
    value = values(module, part)
    return Dense(value=value, shape=value.shape)


def multiplied(change: WeightChange, number: float) -> WeightChange:
    """Return ``number`` times a ΔW, in the same form."""
    if number == 1:
        return change
    if isinstance(change, LowRank):
        return LowRank(left=number * change.left, right=change.right, shape=change.shape)
    if isinstance(change, Product):
        first = LowRank(left=number * change.a.left, right=change.a.right, shape=change.a.shape)
        return Product(a=first, b=change.b, shape=change.shape)
    if isinstance(change, Kronecker):
        return Kronecker(first=number * change.first, second=change.second, shape=change.shape)
    return Dense(value=number * change.value, shape=change.shape)


def norm(change: WeightChange) -> float:
    """Return the Frobenius norm of ΔW."""
    if isinstance(change, LowRank):
        gram = (change.left.T @ change.left) * (change.right @ change.right.T)
        return math.sqrt(max(0.0, float(gram.sum())))
    if isinstance(change, Kronecker):
        return float(np.linalg.norm(change.first) * np.linalg.norm(change.second))
    return math.sqrt(sum(float((piece**2).sum()) for piece in _pieces(change)))


def distance(a: WeightChange, b: WeightChange) -> float:
    """Return the Frobenius norm of the difference of two ΔW. Raises AdapterUnknown if their shapes differ."""
    if math.prod(a.shape) != math.prod(b.shape) or a.shape[:1] != b.shape[:1]:
        raise AdapterUnknown(
            "the two ΔW have different shapes",
            f"{list(a.shape)} and {list(b.shape)}",
            "compare two files of the same adapter",
        )
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        return _low_rank_distance(a, b)
    if (
        isinstance(a, Kronecker)
        and isinstance(b, Kronecker)
        and (a.first.shape, a.second.shape) == (b.first.shape, b.second.shape)
    ):
        return _kronecker_distance(a, b)
    total = 0.0
    for x, y in zip(_pieces(a), _pieces(b), strict=True):
        total += float(((x - y) ** 2).sum())
    return math.sqrt(total)


def _low_rank_distance(a: LowRank, b: LowRank) -> float:
    """Return ‖La Ra - Lb Rb‖ = ‖(La - Lb) Ra + Lb (Ra - Rb)‖, computed from the Gram matrices of these factors.

    The difference of two large products would lose precision.
    """
    rank = max(a.left.shape[1], b.left.shape[1])
    a, b = (_widened(each, rank) for each in (a, b))
    left, right = a.left - b.left, a.right - b.right
    square = float(np.vdot(left.T @ left, a.right @ a.right.T))
    square += 2 * float(np.vdot(left.T @ b.left, a.right @ right.T))
    square += float(np.vdot(b.left.T @ b.left, right @ right.T))
    return math.sqrt(max(0.0, square))


def _widened(change: LowRank, rank: int) -> LowRank:
    """Return a change whose factors have zeros up to a rank."""
    missing = rank - change.left.shape[1]
    if not missing:
        return change
    return LowRank(
        left=np.pad(change.left, ((0, 0), (0, missing))),
        right=np.pad(change.right, ((0, missing), (0, 0))),
        shape=change.shape,
    )


def _kronecker_distance(a: Kronecker, b: Kronecker) -> float:
    """Return ‖A⊗B - C⊗D‖ = ‖(A-C)⊗B + C⊗(B-D)‖, computed from inner products: ⟨A⊗B, C⊗D⟩ = ⟨A, C⟩⟨B, D⟩."""
    first, second = a.first - b.first, a.second - b.second
    cross = float(np.vdot(first, b.first) * np.vdot(a.second, second))
    square = float(np.vdot(first, first) * np.vdot(a.second, a.second))
    square += float(np.vdot(b.first, b.first) * np.vdot(second, second)) + 2 * cross
    return math.sqrt(max(0.0, square))


def rows(change: WeightChange, start: int, stop: int) -> F64:
    """Return the rows ``start`` to ``stop`` (exclusive) of ΔW as a matrix [rows, inner]."""
    if isinstance(change, LowRank):
        return change.left[start:stop] @ change.right
    if isinstance(change, Product):
        return (change.a.left[start:stop] @ change.a.right) * (change.b.left[start:stop] @ change.b.right)
    if isinstance(change, Dense):
        return change.value.reshape(change.shape[0], -1)[start:stop]
    height = change.second.shape[0]
    index = np.arange(start, min(stop, change.shape[0]))
    left, right = change.first[index // height], change.second[index % height]
    # In a Kronecker product the columns of the second factor vary faster. The axes of a kernel come last.
    product: F64 = np.einsum("ra,r...->ra...", left, right).reshape(len(index), -1)
    return product


def _pieces(change: WeightChange) -> Iterator[F64]:
    """Yield ΔW in pieces of rows. Only one piece is in memory."""
    step = max(1, PIECE // (8 * max(1, math.prod(change.shape[1:]))))
    for start in range(0, change.shape[0], step):
        yield rows(change, start, start + step)
