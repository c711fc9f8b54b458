"""The kinds of adapters: how their random factors are made, and how the factors define a change.

To add a kind, add its formula to ``harness.adapters.definitions``, and an entry with a function that makes its random
factors to ``KINDS``. That function chooses the factors so that the expected norm of the change is known for every rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.adapters import definitions
from harness.adapters.definitions import F64, FactorArrays, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFactors:
    """Random factors by name. ``norm`` is the root of the expected squared Frobenius norm of their ΔW.

    ΔW is proportional to the factor whose name is ``scalable``.
    """

    factors: dict[str, F64]
    norm: float
    scalable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of adapter.

    - ``draw`` returns random factors for a generator, the shape of the weight, its standard deviation and a rank.
    - ``delta`` returns ΔW for the stored factors and the shape of the weight: float64, of that shape, not yet scaled by
      alpha / rank.
    - ``factors`` are the names of the factors.
    - ``ranked`` maps factors to their axis whose length is the rank. If a file has none of these factors, its change is
      not scaled, whatever its alpha is.
    - ``bias`` is true if the adapter changes the bias instead of the weight.
    - ``kernel`` is true if the weight must be a convolution larger than 1x1.
    """

    name: str
    draw: Callable[[np.random.Generator, Shape, float, int], RandomFactors]
    delta: Callable[[FactorArrays, Shape], F64]
    factors: tuple[str, ...]
    ranked: Mapping[str, int]
    bias: bool = False
    kernel: bool = False

    def rank(self, factors: FactorArrays) -> int | None:
        """Return the rank, by which alpha is divided, or None if the change is not scaled."""
        return next((factors[n].shape[axis] for n, axis in self.ranked.items() if n in factors), None)


def factorization(number: int) -> tuple[int, int]:
    """Return the two factors (smaller, larger) of ``number`` that are closest to each other: (24, 32) for 768.

    LyCORIS splits a dimension in this way by default (``factorization`` of its repository, with factor -1).
    """
    small = next(n for n in range(math.isqrt(number), 0, -1) if number % n == 0)
    return small, number // small


def _inner(shape: Shape) -> int:
    """Return the number of elements for each output."""
    return math.prod(shape[1:])


def _draw_lora(generator: np.random.Generator, shape: Shape, _std: float, rank: int) -> RandomFactors:
    ones = (1,) * (len(shape) - 2)
    down = generator.standard_normal((rank, *shape[1:])) / math.sqrt(_inner(shape))
    up = generator.standard_normal((shape[0], rank, *ones))
    # The expected value of ||up @ down||² is out * rank.
    return RandomFactors(factors={"down": down, "up": up}, norm=math.sqrt(shape[0] * rank), scalable="up")


def _draw_tucker(generator: np.random.Generator, shape: Shape, _std: float, rank: int) -> RandomFactors:
    down = generator.standard_normal((rank, shape[1], 1, 1)) / math.sqrt(shape[1])
    mid = generator.standard_normal((rank, rank, *shape[2:])) / math.sqrt(rank * math.prod(shape[2:]))
    up = generator.standard_normal((shape[0], rank, 1, 1))
    return RandomFactors(
        factors={"down": down, "mid": mid, "up": up}, norm=math.sqrt(shape[0] * rank), scalable="up"
    )


def _draw_loha(generator: np.random.Generator, shape: Shape, _std: float, rank: int) -> RandomFactors:
    inner = _inner(shape)
    factors: dict[str, F64] = {}
    for n in (1, 2):
        factors[f"hada_w{n}_a"] = generator.standard_normal((shape[0], rank))
        factors[f"hada_w{n}_b"] = generator.standard_normal((rank, inner)) / math.sqrt(rank)
    # Every element of both products has variance 1.
    return RandomFactors(factors=factors, norm=math.sqrt(shape[0] * inner), scalable="hada_w1_a")


def _draw_loha_tucker(generator: np.random.Generator, shape: Shape, _std: float, rank: int) -> RandomFactors:
    factors: dict[str, F64] = {}
    for n in (1, 2):
        factors[f"hada_t{n}"] = generator.standard_normal((rank, rank, *shape[2:])) / rank
        factors[f"hada_w{n}_a"] = generator.standard_normal((rank, shape[0]))
        factors[f"hada_w{n}_b"] = generator.standard_normal((rank, shape[1]))
    return RandomFactors(factors=factors, norm=math.sqrt(shape[0] * _inner(shape)), scalable="hada_w1_a")


def _draw_lokr(first: bool, second: bool, core: bool = False) -> Callable[..., RandomFactors]:
    """Return a function that makes the factors of a LoKr.

    ``first`` and ``second`` say whether the first and the second matrix are decomposed. With ``core`` the second matrix
    is decomposed into a Tucker product.
    """

    def draw_lokr(generator: np.random.Generator, shape: Shape, _std: float, rank: int) -> RandomFactors:
        (a, b), (c, d), kernel = factorization(shape[0]), factorization(shape[1]), shape[2:]
        factors: dict[str, F64] = {}
        if first:
            factors["lokr_w1_a"] = generator.standard_normal((a, rank))
            factors["lokr_w1_b"] = generator.standard_normal((rank, c)) / math.sqrt(rank)
        else:
            factors["lokr_w1"] = generator.standard_normal((a, c))
        if core:
            factors["lokr_t2"] = generator.standard_normal((rank, rank, *kernel)) / rank
            factors["lokr_w2_a"] = generator.standard_normal((rank, b))
            factors["lokr_w2_b"] = generator.standard_normal((rank, d))
        elif second:
            factors["lokr_w2_a"] = generator.standard_normal((b, rank))
            factors["lokr_w2_b"] = generator.standard_normal((rank, d * math.prod(kernel))) / math.sqrt(rank)
        else:
            factors["lokr_w2"] = generator.standard_normal((b, d, *kernel))
        # Every element of both matrices has variance 1.
        norm = math.sqrt(shape[0] * _inner(shape))
        return RandomFactors(factors=factors, norm=norm, scalable="lokr_w1_a" if first else "lokr_w1")

    return draw_lokr


def _draw_diff(generator: np.random.Generator, shape: Shape, _std: float, _rank: int) -> RandomFactors:
    return RandomFactors(
        factors={"diff": generator.standard_normal(shape)}, norm=math.sqrt(math.prod(shape)), scalable="diff"
    )


def _draw_diff_b(generator: np.random.Generator, shape: Shape, _std: float, _rank: int) -> RandomFactors:
    # With inputs of variance 1 this bias shifts the output as much as the change of a weight does.
    return RandomFactors(
        factors={"diff_b": generator.standard_normal(shape[:1])}, norm=math.sqrt(shape[0]), scalable="diff_b"
    )


def _draw_dora(per_output: bool) -> Callable[..., RandomFactors]:
    """Return a function that makes the factors of a DoRA with a magnitude for each output, or else for each input."""

    def draw_dora(generator: np.random.Generator, shape: Shape, std: float, rank: int) -> RandomFactors:
        drawn = _draw_lora(generator, shape, std, rank)
        kept = 0 if per_output else 1
        # The magnitude is 0.5 to 1.5 times the expected norm of the row or column in the base model.
        norm = std * math.sqrt(math.prod(shape) / shape[kept])
        magnitude = norm * generator.uniform(0.5, 1.5, shape[kept])
        drawn.factors["dora_scale"] = magnitude.reshape(
            [-1 if axis == kept else 1 for axis in range(len(shape))]
        )
        return drawn

    return draw_dora


_RANKED_LORA = {"down": 0}
_RANKED_LOHA = {"hada_w1_b": 0}
_RANKED_LOKR = {"lokr_w1_b": 0, "lokr_w2_b": 0}


def _lokr(name: str, factors: tuple[str, ...], *, kernel: bool = False) -> Kind:
    """Return the kind of a LoKr that is stored as these factors."""
    draw = _draw_lokr("lokr_w1_a" in factors, "lokr_w2_a" in factors, "lokr_t2" in factors)
    return Kind(
        name=name, draw=draw, delta=definitions.lokr, factors=factors, ranked=_RANKED_LOKR, kernel=kernel
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
