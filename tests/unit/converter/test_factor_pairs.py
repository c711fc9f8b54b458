from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import quants

from harness.converter import factor_pairs
from harness.converter.factor_pairs import F64, lora_pairs, rotation
from harness.quantising.package_quantiser import PackageQuantiser
from harness.studies.conversion import sample_adapter

KINDS = [("Q8_0", "Q4_0"), ("Q5_1", "Q8_0"), ("MXFP4", "Q4_1"), ("F16", "Q5_0"), ("Q4_0", "F16")]


def factors(count: int, out: int = 64, inner: int = 96, rank: int = 32) -> tuple[F64, F64]:
    """Return ``up`` [count, out, rank] and ``down`` [count, rank, inner] of LoRAs that are like trained ones."""
    pairs = [sample_adapter.factors(out, inner, rank, 3.0, 1.0, (seed,)) for seed in range(count)]
    up, down = (np.stack(each).astype(np.float64) for each in zip(*pairs, strict=True))
    return up, down


def decoded(raw: np.ndarray, kind: str, shape: tuple[int, int]) -> F64:
    """Return the values of stored bytes as the gguf package reads them."""
    kinds = gguf.GGMLQuantizationType
    if kind == "F16":
        return raw.view(np.float16).reshape(shape).astype(np.float64)
    values: F64 = quants.dequantize(raw.reshape(shape[0], -1), kinds[kind]).astype(np.float64)
    return values


@pytest.mark.parametrize("kinds", KINDS)
def test_modules_get_the_same_bytes_together_and_alone(kinds: tuple[str, str]) -> None:
    up, down = factors(3)
    together = lora_pairs(up, down, kinds, PackageQuantiser())
    for i, pair in enumerate(together):
        [alone] = lora_pairs(up[i : i + 1], down[i : i + 1], kinds, PackageQuantiser())
        assert np.array_equal(pair.up, alone.up)
        assert np.array_equal(pair.down, alone.down)


@pytest.mark.parametrize("kinds", KINDS)
def test_the_error_is_that_of_the_decoded_product_and_below_that_of_the_package(
    kinds: tuple[str, str],
) -> None:
    up, down = factors(2)
    for pair, a, b in zip(lora_pairs(up, down, kinds, PackageQuantiser()), up, down, strict=True):
        first, second = decoded(pair.up, kinds[0], a.shape), decoded(pair.down, kinds[1], b.shape)
        assert pair.error == pytest.approx(np.sum((a @ b - first @ second) ** 2), rel=1e-6)
        theirs = [
            values
            if kind == "F16"
            else quants.dequantize(
                quants.quantize(values.astype(np.float32), gguf.GGMLQuantizationType[kind]),
                gguf.GGMLQuantizationType[kind],
            )
            for values, kind in zip((a, b), kinds, strict=True)
        ]
        assert pair.error < np.sum((a @ b - theirs[0] @ theirs[1]) ** 2)


def test_values_that_the_types_have_are_stored_as_the_package_stores_them() -> None:
    # Codes of Q8_0 with the scale 1: rounding loses nothing, and no other factors can be better.
    generator = np.random.default_rng(7)
    up, down = (
        generator.integers(-126, 127, shape).astype(np.float64) for shape in ((1, 64, 32), (1, 32, 96))
    )
    up[0, :, 0], down[0, :, ::32] = 127, 127
    [pair] = lora_pairs(up, down, ("Q8_0", "Q8_0"), PackageQuantiser())
    assert pair.error == 0
    for raw, values in ((pair.up, up[0]), (pair.down, down[0])):
        kind = gguf.GGMLQuantizationType.Q8_0
        assert raw.tobytes() == quants.quantize(values.astype(np.float32), kind).tobytes()


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("rank", [1, 32])
def test_the_pair_is_the_best_of_all_four_ways_also_those_that_are_seldom_tried(
    rank: int, kinds: tuple[str, str]
) -> None:
    quantiser = PackageQuantiser()
    if rank == 1:
        kinds = ("F16", kinds[1] if kinds[1] != "F16" else "Q8_0")
    up, down = factors(6, rank=rank)
    plain = factor_pairs._Basis(up=up, down=down)
    spectral = factor_pairs._spectral(up, down, kinds, rank)
    rotated = spectral.rotated()
    ways = [factor_pairs._pairs(basis, kinds, quantiser) for basis in (plain, spectral, rotated)]
    ways.append(factor_pairs._pairs(rotated, kinds, quantiser, passes_on=True))
    for pair, *each in zip(lora_pairs(up, down, kinds, quantiser), *ways, strict=True):
        best = min(each, key=lambda p: p.error)
        assert pair.error == best.error
        assert pair.up.tobytes() + pair.down.tobytes() == best.up.tobytes() + best.down.tobytes()


def test_a_padded_rank_has_the_rank_of_whole_blocks() -> None:
    up, down = factors(1, rank=20)
    [pair] = lora_pairs(up, down, ("Q8_0", "Q8_0"), PackageQuantiser(), 32)
    first, second = decoded(pair.up, "Q8_0", (64, 32)), decoded(pair.down, "Q8_0", (32, 96))
    assert np.linalg.norm(first @ second - up[0] @ down[0]) < 0.01 * np.linalg.norm(up[0] @ down[0])


@pytest.mark.parametrize("width", [20, 32])
def test_a_rotation_is_orthogonal_and_mixes_all_coordinates(width: int) -> None:
    matrix = rotation(width)
    assert np.allclose(matrix @ matrix.T, np.eye(width))
    assert np.count_nonzero(matrix) == width * width
