"""The kinds of adapters: how their factors are drawn, and by which definition they mean a change.

A new kind is a definition in ``harness.adapters.definitions`` and an entry in ``KINDS`` with what draws its
factors. Each is drawn so that a scale of all its elements is known beforehand, whatever the rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.adapters import definitions
from harness.adapters.definitions import F64, FactorArrays, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Random factors; ``norm`` is the expected Frobenius norm of their ΔW, in proportion to factor ``grows``."""

    factors: dict[str, F64]
    norm: float
    grows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of adapter.

    ``delta`` gives ΔW (float64, of the weight's shape) from the stored factors and the shape, before it is scaled
    by alpha / rank. ``ranked`` names the factors whose first (or, where the second number is 1, second) axis is that
    rank; a file that has none of them is not scaled, whatever its alpha. ``bias`` kinds change the bias instead of the
    weight, ``kernel`` kinds need a convolution larger than 1x1.
    """

    name: str
    draw: Callable[[np.random.Generator, Shape, float, int], Drawn]
    delta: Callable[[FactorArrays, Shape], F64]
    factors: tuple[str, ...]
    ranked: Mapping[str, int]
    bias: bool = False
    kernel: bool = False

    def rank(self, factors: FactorArrays) -> int | None:
        """Return the number that alpha is divided by, None if the change is not scaled."""
        return next((factors[n].shape[axis] for n, axis in self.ranked.items() if n in factors), None)


def factorization(number: int) -> tuple[int, int]:
    """Return the two factors (small, large) of a number that are nearest to each other: 768 is 24 * 32.

    LyCORIS splits a dimension so, by default (``factorization`` of its repository, factor -1).
    """
    small = next(n for n in range(math.isqrt(number), 0, -1) if number % n == 0)
    return small, number // small


def _inner(shape: Shape) -> int:
    return math.prod(shape[1:])


def _draw_lora(draw: np.random.Generator, shape: Shape, _std: float, rank: int) -> Drawn:
    ones = (1,) * (len(shape) - 2)
    down = draw.standard_normal((rank, *shape[1:])) / math.sqrt(_inner(shape))
    up = draw.standard_normal((shape[0], rank, *ones))
    # E||up @ down||² is out * rank for these factors.
    return Drawn(factors={"down": down, "up": up}, norm=math.sqrt(shape[0] * rank), grows="up")


def _draw_tucker(draw: np.random.Generator, shape: Shape, _std: float, rank: int) -> Drawn:
    down = draw.standard_normal((rank, shape[1], 1, 1)) / math.sqrt(shape[1])
    mid = draw.standard_normal((rank, rank, *shape[2:])) / math.sqrt(rank * math.prod(shape[2:]))
    up = draw.standard_normal((shape[0], rank, 1, 1))
    return Drawn(factors={"down": down, "mid": mid, "up": up}, norm=math.sqrt(shape[0] * rank), grows="up")


def _draw_loha(draw: np.random.Generator, shape: Shape, _std: float, rank: int) -> Drawn:
    inner = _inner(shape)
    factors: dict[str, F64] = {}
    for n in (1, 2):
        factors[f"hada_w{n}_a"] = draw.standard_normal((shape[0], rank))
        factors[f"hada_w{n}_b"] = draw.standard_normal((rank, inner)) / math.sqrt(rank)
    # Every element of either half has variance 1.
    return Drawn(factors=factors, norm=math.sqrt(shape[0] * inner), grows="hada_w1_a")


def _draw_loha_tucker(draw: np.random.Generator, shape: Shape, _std: float, rank: int) -> Drawn:
    factors: dict[str, F64] = {}
    for n in (1, 2):
        factors[f"hada_t{n}"] = draw.standard_normal((rank, rank, *shape[2:])) / rank
        factors[f"hada_w{n}_a"] = draw.standard_normal((rank, shape[0]))
        factors[f"hada_w{n}_b"] = draw.standard_normal((rank, shape[1]))
    return Drawn(factors=factors, norm=math.sqrt(shape[0] * _inner(shape)), grows="hada_w1_a")


def _draw_lokr(first: bool, second: bool, core: bool = False) -> Callable[..., Drawn]:
    """Return what draws a LoKr whose first and second matrix are decomposed or not."""

    def draw_lokr(draw: np.random.Generator, shape: Shape, _std: float, rank: int) -> Drawn:
        (a, b), (c, d), kernel = factorization(shape[0]), factorization(shape[1]), shape[2:]
        factors: dict[str, F64] = {}
        if first:
            factors["lokr_w1_a"] = draw.standard_normal((a, rank))
            factors["lokr_w1_b"] = draw.standard_normal((rank, c)) / math.sqrt(rank)
        else:
            factors["lokr_w1"] = draw.standard_normal((a, c))
        if core:
            factors["lokr_t2"] = draw.standard_normal((rank, rank, *kernel)) / rank
            factors["lokr_w2_a"] = draw.standard_normal((rank, b))
            factors["lokr_w2_b"] = draw.standard_normal((rank, d))
        elif second:
            factors["lokr_w2_a"] = draw.standard_normal((b, rank))
            factors["lokr_w2_b"] = draw.standard_normal((rank, d * math.prod(kernel))) / math.sqrt(rank)
        else:
            factors["lokr_w2"] = draw.standard_normal((b, d, *kernel))
        # Every element of either matrix has variance 1.
        norm = math.sqrt(shape[0] * _inner(shape))
        return Drawn(factors=factors, norm=norm, grows="lokr_w1_a" if first else "lokr_w1")

    return draw_lokr


def _draw_diff(draw: np.random.Generator, shape: Shape, _std: float, _rank: int) -> Drawn:
    return Drawn(
        factors={"diff": draw.standard_normal(shape)}, norm=math.sqrt(math.prod(shape)), grows="diff"
    )


def _draw_diff_b(draw: np.random.Generator, shape: Shape, _std: float, _rank: int) -> Drawn:
    # As long as ΔW is: inputs of variance 1 then shift the output as far as a changed weight does.
    return Drawn(
        factors={"diff_b": draw.standard_normal(shape[:1])}, norm=math.sqrt(shape[0]), grows="diff_b"
    )


def _draw_dora(per_output: bool) -> Callable[..., Drawn]:
    """Return what draws a DoRA with a magnitude for each output, or for each input."""

    def draw_dora(draw: np.random.Generator, shape: Shape, std: float, rank: int) -> Drawn:
        drawn = _draw_lora(draw, shape, std, rank)
        kept = 0 if per_output else 1
        # Between half and one and a half of the norm that the row (column) has in the base model.
        norm = std * math.sqrt(math.prod(shape) / shape[kept])
        magnitude = norm * draw.uniform(0.5, 1.5, shape[kept])
        drawn.factors["dora_scale"] = magnitude.reshape(
            [-1 if axis == kept else 1 for axis in range(len(shape))]
        )
        return drawn

    return draw_dora


_RANKED_LORA = {"down": 0}
_RANKED_LOHA = {"hada_w1_b": 0}
_RANKED_LOKR = {"lokr_w1_b": 0, "lokr_w2_b": 0}


def _lokr(name: str, factors: tuple[str, ...], *, kernel: bool = False) -> Kind:
    drawn = _draw_lokr("lokr_w1_a" in factors, "lokr_w2_a" in factors, "lokr_t2" in factors)
    return Kind(
        name=name, draw=drawn, delta=definitions.lokr, factors=factors, ranked=_RANKED_LOKR, kernel=kernel
    )


_W1, _W2 = ("lokr_w1_a", "lokr_w1_b"), ("lokr_w2_a", "lokr_w2_b")
_HADA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_DORA = ("down", "up", "dora_scale")

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="lora", draw=_draw_lora, delta=definitions.lora, factors=("down", "up"), ranked=_RANKED_LORA
        ),
        Kind(
            name="tucker",
            draw=_draw_tucker,
            delta=definitions.tucker,
            factors=("down", "mid", "up"),
            ranked=_RANKED_LORA,
            kernel=True,
        ),
        Kind(name="loha", draw=_draw_loha, delta=definitions.loha, factors=_HADA, ranked=_RANKED_LOHA),
        Kind(
            name="loha-tucker",
            draw=_draw_loha_tucker,
            delta=definitions.loha_tucker,
            factors=("hada_t1", "hada_t2", *_HADA),
            ranked=_RANKED_LOHA,
            kernel=True,
        ),
        _lokr("lokr", ("lokr_w1", "lokr_w2")),
        _lokr("lokr-w1", (*_W1, "lokr_w2")),
        _lokr("lokr-w2", ("lokr_w1", *_W2)),
        _lokr("lokr-both", (*_W1, *_W2)),
        _lokr("lokr-tucker", ("lokr_w1", "lokr_t2", *_W2), kernel=True),
        Kind(name="diff", draw=_draw_diff, delta=definitions.diff, factors=("diff",), ranked={}),
        Kind(
            name="diff-b",
            draw=_draw_diff_b,
            delta=definitions.diff_b,
            factors=("diff_b",),
            ranked={},
            bias=True,
        ),
        Kind(name="dora", draw=_draw_dora(True), delta=definitions.lora, factors=_DORA, ranked=_RANKED_LORA),
        Kind(
            name="dora-in", draw=_draw_dora(False), delta=definitions.lora, factors=_DORA, ranked=_RANKED_LORA
        ),
    )
}
