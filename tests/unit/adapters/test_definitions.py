"""Each definition is compared with another computation: loops, Kronecker products, successive convolutions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from harness.adapters import definitions
from harness.adapters.definitions import F64

DRAW = np.random.default_rng(3)
LINEAR = (6, 4)
KERNEL = (6, 4, 3, 3)


def some(*shape: int) -> F64:
    return DRAW.standard_normal(shape)


def convolve(image: F64, kernel: F64) -> F64:
    """Return the valid cross-correlation of [in, h, w] with [out, in, kh, kw], by loops."""
    out, _, kh, kw = kernel.shape
    height, width = image.shape[1] - kh + 1, image.shape[2] - kw + 1
    result = np.zeros((out, height, width))
    for o, y, x in product(range(out), range(height), range(width)):
        result[o, y, x] = (image[:, y : y + kh, x : x + kw] * kernel[o]).sum()
    return result


def test_lora_is_a_sum_over_the_rank() -> None:
    down, up = some(2, 4), some(6, 2)
    change = definitions.lora({"down": down, "up": up}, LINEAR)
    for o, i in product(range(6), range(4)):
        assert change[o, i] == pytest.approx(up[o, 0] * down[0, i] + up[o, 1] * down[1, i])


@pytest.mark.parametrize("size", [1, 3])
def test_lora_of_a_convolution_equals_two_successive_convolutions(size: int) -> None:
    down, up, image = some(2, 4, size, size), some(6, 2, 1, 1), some(4, 7, 5)
    change = definitions.lora({"down": down, "up": up}, (6, 4, size, size))
    assert np.allclose(convolve(image, change), convolve(convolve(image, down), up))


def test_tucker_equals_three_successive_convolutions() -> None:
    down, mid, up, image = some(2, 4, 1, 1), some(2, 2, 3, 3), some(6, 2, 1, 1), some(4, 7, 5)
    change = definitions.tucker({"down": down, "mid": mid, "up": up}, KERNEL)
    assert change.shape == KERNEL
    assert np.allclose(convolve(image, change), convolve(convolve(convolve(image, down), mid), up))


@pytest.mark.parametrize("shape", [LINEAR, KERNEL])
def test_loha_is_the_product_of_two_loras_element_by_element(shape: tuple[int, ...]) -> None:
    inner = int(np.prod(shape[1:]))
    f = {f"hada_w{n}_{x}": some(*((6, 2) if x == "a" else (2, inner))) for n in (1, 2) for x in "ab"}
    change = definitions.loha(f, shape).reshape(6, inner)
    for o, i in product(range(6), range(inner)):
        first, second = (
            sum(f[f"hada_w{n}_a"][o, r] * f[f"hada_w{n}_b"][r, i] for r in range(2)) for n in (1, 2)
        )
        assert change[o, i] == pytest.approx(first * second)


def test_loha_tucker_is_the_product_of_two_tucker_kernels_element_by_element() -> None:
    f = {f"hada_t{n}": some(2, 2, 3, 3) for n in (1, 2)}
    f |= {f"hada_w{n}_{x}": some(2, 6 if x == "a" else 4) for n in (1, 2) for x in "ab"}
    change = definitions.loha_tucker(f, KERNEL)
    assert change.shape == KERNEL
    for o, i, y, x in product(range(6), range(4), range(3), range(3)):
        halves = [
            sum(
                f[f"hada_t{n}"][p, q, y, x] * f[f"hada_w{n}_a"][p, o] * f[f"hada_w{n}_b"][q, i]
                for p, q in product(range(2), range(2))
            )
            for n in (1, 2)
        ]
        assert change[o, i, y, x] == pytest.approx(halves[0] * halves[1])


def blocks(first: F64, second: F64) -> F64:
    """Return the Kronecker product of two matrices, built from its blocks."""
    return np.block([[first[a, c] * second for c in range(first.shape[1])] for a in range(first.shape[0])])


def test_lokr_consists_of_scaled_copies_of_its_second_matrix() -> None:
    first, second = some(2, 2), some(3, 2)
    change = definitions.lokr({"lokr_w1": first, "lokr_w2": second}, LINEAR)
    assert np.allclose(change, blocks(first, second))


@pytest.mark.parametrize("decomposed", [("w1",), ("w2",), ("w1", "w2")])
def test_lokr_with_decomposed_matrices_equals_lokr_with_their_products(decomposed: tuple[str, ...]) -> None:
    whole = {"lokr_w1": some(2, 2), "lokr_w2": some(3, 2)}
    stored = dict(whole)
    for name in decomposed:
        rows, columns = whole[f"lokr_{name}"].shape
        a, b = some(rows, 1), some(1, columns)
        del stored[f"lokr_{name}"]
        stored |= {f"lokr_{name}_a": a, f"lokr_{name}_b": b}
        whole[f"lokr_{name}"] = np.outer(a, b)
    assert np.allclose(definitions.lokr(stored, LINEAR), blocks(whole["lokr_w1"], whole["lokr_w2"]))


def test_lokr_of_a_kernel_is_a_kronecker_product_at_each_position() -> None:
    first, second = some(2, 2), some(3, 2, 3, 3)
    a, b = some(3, 2), some(2, 2 * 9)
    for stored, whole in (
        ({"lokr_w2": second}, second),
        ({"lokr_w2_a": a, "lokr_w2_b": b}, sum(np.multiply.outer(a[:, r], b[r]) for r in range(2))),
    ):
        change = definitions.lokr({"lokr_w1": first, **stored}, KERNEL)
        for y, x in product(range(3), range(3)):
            position = np.asarray(whole).reshape(3, 2, 3, 3)[:, :, y, x]
            assert np.allclose(change[:, :, y, x], blocks(first, position))


def test_lokr_with_t2_has_a_tucker_kernel_as_second_matrix() -> None:
    first, core, left, right, image = some(2, 2), some(2, 2, 3, 3), some(2, 3), some(2, 2), some(2, 7, 5)
    change = definitions.lokr(
        {"lokr_w1": first, "lokr_t2": core, "lokr_w2_a": left, "lokr_w2_b": right}, KERNEL
    )
    second = change[:3, :2] / first[0, 0]
    in_a_row = convolve(convolve(image, right[:, :, None, None]), core)
    assert np.allclose(convolve(image, second), convolve(in_a_row, left.T[:, :, None, None]))
    assert np.allclose(change[3:, 2:], first[1, 1] * second)


def test_differences_are_returned_as_stored() -> None:
    whole = some(*KERNEL)
    assert np.array_equal(definitions.diff({"diff": whole}, KERNEL), whole)
    assert np.array_equal(definitions.diff_b({"diff_b": whole[:, 0, 0, 0]}, (6,)), whole[:, 0, 0, 0])


@pytest.mark.parametrize("shape", [LINEAR, KERNEL])
def test_dora_gives_each_output_the_stored_magnitude_and_the_direction_of_the_sum(
    shape: tuple[int, ...],
) -> None:
    weight, change, magnitude = some(*shape), some(*shape), np.arange(1.0, 7.0)
    result = weight + definitions.decompose(weight, change, magnitude.reshape(-1, *(1 for _ in shape[1:])))
    for o in range(6):
        row, wanted = result[o].reshape(-1), (weight + change)[o].reshape(-1)
        assert np.sqrt((row**2).sum()) == pytest.approx(magnitude[o])
        assert row @ wanted == pytest.approx(magnitude[o] * np.sqrt((wanted**2).sum()))
    assert np.allclose(result, weight + definitions.decompose(weight, change, magnitude))


@pytest.mark.parametrize("shape", [LINEAR, KERNEL])
def test_dora_with_a_magnitude_for_each_input(shape: tuple[int, ...]) -> None:
    weight, change, magnitude = some(*shape), some(*shape), np.arange(1.0, 5.0)
    result = weight + definitions.decompose(weight, change, magnitude.reshape(1, -1, *(1 for _ in shape[2:])))
    for i in range(4):
        assert np.sqrt((result[:, i] ** 2).sum()) == pytest.approx(magnitude[i])


def test_dora_changes_nothing_if_the_magnitudes_are_the_norms_of_the_base() -> None:
    weight = some(*LINEAR)
    norms = np.array([[sum(v * v for v in row) ** 0.5] for row in weight.tolist()])
    assert np.allclose(definitions.decompose(weight, np.zeros(LINEAR), norms), 0.0)


def test_dora_of_a_convolution_as_peft_stores_it_has_a_magnitude_for_each_output() -> None:
    weight, change, magnitude = some(*KERNEL), some(*KERNEL), np.arange(1.0, 7.0)
    result = weight + definitions.decompose(weight, change, magnitude.reshape(1, -1, 1, 1))
    for o in range(6):
        assert np.sqrt((result[o] ** 2).sum()) == pytest.approx(magnitude[o])
