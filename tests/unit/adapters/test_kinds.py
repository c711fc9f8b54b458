from __future__ import annotations

import math

import numpy as np
import pytest

from harness.adapters.definitions import F64
from harness.adapters.kinds import KINDS, Kind, factorization

LINEAR = (96, 64)
KERNEL = (96, 64, 3, 3)
RANK = 4
STD = 0.1

#: The shapes that sd-scripts, LyCORIS and PEFT store, for the weights above and rank 4.
SHAPES: dict[str, dict[tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    "lora": {
        LINEAR: {"down": (4, 64), "up": (96, 4)},
        KERNEL: {"down": (4, 64, 3, 3), "up": (96, 4, 1, 1)},
    },
    "tucker": {KERNEL: {"down": (4, 64, 1, 1), "mid": (4, 4, 3, 3), "up": (96, 4, 1, 1)}},
    "loha": {
        LINEAR: {"hada_w1_a": (96, 4), "hada_w1_b": (4, 64), "hada_w2_a": (96, 4), "hada_w2_b": (4, 64)},
        KERNEL: {"hada_w1_a": (96, 4), "hada_w1_b": (4, 576), "hada_w2_a": (96, 4), "hada_w2_b": (4, 576)},
    },
    "loha-tucker": {
        KERNEL: {
            "hada_t1": (4, 4, 3, 3),
            "hada_w1_a": (4, 96),
            "hada_w1_b": (4, 64),
            "hada_t2": (4, 4, 3, 3),
            "hada_w2_a": (4, 96),
            "hada_w2_b": (4, 64),
        }
    },
    "lokr": {
        LINEAR: {"lokr_w1": (8, 8), "lokr_w2": (12, 8)},
        KERNEL: {"lokr_w1": (8, 8), "lokr_w2": (12, 8, 3, 3)},
    },
    "lokr-w1": {LINEAR: {"lokr_w1_a": (8, 4), "lokr_w1_b": (4, 8), "lokr_w2": (12, 8)}},
    "lokr-w2": {
        LINEAR: {"lokr_w1": (8, 8), "lokr_w2_a": (12, 4), "lokr_w2_b": (4, 8)},
        KERNEL: {"lokr_w1": (8, 8), "lokr_w2_a": (12, 4), "lokr_w2_b": (4, 72)},
    },
    "lokr-both": {
        LINEAR: {"lokr_w1_a": (8, 4), "lokr_w1_b": (4, 8), "lokr_w2_a": (12, 4), "lokr_w2_b": (4, 8)}
    },
    "lokr-tucker": {
        KERNEL: {"lokr_w1": (8, 8), "lokr_t2": (4, 4, 3, 3), "lokr_w2_a": (4, 12), "lokr_w2_b": (4, 8)}
    },
    "diff": {LINEAR: {"diff": LINEAR}, KERNEL: {"diff": KERNEL}},
    "diff-b": {LINEAR: {"diff_b": (96,)}, KERNEL: {"diff_b": (96,)}},
    "dora": {
        LINEAR: {"down": (4, 64), "up": (96, 4), "dora_scale": (96, 1)},
        KERNEL: {"down": (4, 64, 3, 3), "up": (96, 4, 1, 1), "dora_scale": (96, 1, 1, 1)},
    },
    "dora-in": {LINEAR: {"down": (4, 64), "up": (96, 4), "dora_scale": (1, 64)}},
}
EACH = [
    pytest.param(KINDS[name], shape, id=f"{name}-{len(shape)}d")
    for name, by_shape in SHAPES.items()
    for shape in by_shape
]


def draw(kind: Kind, shape: tuple[int, ...], seed: int = 1, rank: int = RANK) -> dict[str, F64]:
    return dict(kind.draw(np.random.default_rng(seed), shape, STD, rank).factors)


def test_every_kind_is_tested_here() -> None:
    assert set(SHAPES) == set(KINDS)


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_factors_have_the_shapes_of_files(kind: Kind, shape: tuple[int, ...]) -> None:
    assert {name: array.shape for name, array in draw(kind, shape).items()} == SHAPES[kind.name][shape]
    assert set(kind.factors) == set(SHAPES[kind.name][shape])


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_the_norm_of_the_change_is_as_expected(kind: Kind, shape: tuple[int, ...]) -> None:
    squared_ratios = []
    for seed in range(30):
        drawn = kind.draw(np.random.default_rng(seed), shape, STD, RANK)
        change = kind.delta(drawn.factors, shape[:1] if kind.bias else shape)
        assert change.shape == (shape[:1] if kind.bias else shape)
        assert change.dtype == np.float64
        squared_ratios.append(float((change**2).sum()) / drawn.norm**2)
    assert math.sqrt(sum(squared_ratios) / len(squared_ratios)) == pytest.approx(1.0, rel=0.12)


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_the_change_is_proportional_to_the_scalable_factor(kind: Kind, shape: tuple[int, ...]) -> None:
    drawn = kind.draw(np.random.default_rng(1), shape, STD, RANK)
    wanted = shape[:1] if kind.bias else shape
    before = kind.delta(drawn.factors, wanted).copy()
    drawn.factors[drawn.scalable] *= 3.0
    assert np.allclose(kind.delta(drawn.factors, wanted), 3.0 * before)


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_the_rank_is_that_of_the_stored_factors(kind: Kind, shape: tuple[int, ...]) -> None:
    wanted = None if kind.name in ("lokr", "diff", "diff-b") else 3
    assert kind.rank(draw(kind, shape, rank=3)) == wanted


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_a_seed_determines_the_factors(kind: Kind, shape: tuple[int, ...]) -> None:
    first, again, other = draw(kind, shape), draw(kind, shape), draw(kind, shape, seed=2)
    for name, array in first.items():
        assert np.array_equal(array, again[name])
        assert not np.array_equal(array, other[name])


def test_the_magnitudes_of_dora_are_half_to_one_and_a_half_times_the_norms_of_the_base() -> None:
    magnitude = draw(KINDS["dora"], LINEAR)["dora_scale"] / (STD * math.sqrt(64))
    assert 0.5 <= magnitude.min() < 0.6
    assert 1.4 < magnitude.max() <= 1.5


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(127, (1, 127)), (128, (8, 16)), (250, (10, 25)), (360, (18, 20)), (512, (16, 32)), (1024, (32, 32))],
)
def test_factorization(number: int, wanted: tuple[int, int]) -> None:
    assert factorization(number) == wanted
