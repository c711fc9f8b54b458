from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.quantising import float16
from harness.quantising.float16 import as_float16


def by_numpy(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the bits that numpy's own conversion gives."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float16).view(np.uint16)


def test_every_float16_and_what_lies_next_to_the_middle_of_two_rounds_as_numpy_does() -> None:
    exact = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    finite = np.sort(exact[np.isfinite(exact)])
    middle = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)
    beyond = np.array([65504, 65519.996, 65520, 65536, 3e38, np.inf, 1e-45, 2**-25, -0.0], np.float32)
    values: list[NDArray[np.float32]] = [exact, middle, beyond, -beyond]
    values += [np.nextafter(each, np.float32(end)) for each in (middle, finite) for end in (-np.inf, np.inf)]
    for each in values:
        assert np.array_equal(as_float16(each).view(np.uint16), by_numpy(each))


@pytest.mark.parametrize("size", [1e-38, 1e-6, 1e-3, 1.0, 1e4])
def test_random_values_in_several_pieces_round_as_numpy_does(
    size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float16, "_PIECE", 1000)
    values = (np.random.default_rng(1).standard_normal((70, 90)) * size).astype(np.float32)
    assert np.array_equal(as_float16(values).view(np.uint16), by_numpy(values))
    assert np.array_equal(as_float16(values.T).view(np.uint16), by_numpy(values.T))


def test_nan_keeps_its_payload_and_an_array_may_be_empty_or_have_no_axes() -> None:
    values = np.array([0x7FC12000, 0xFFA00000, 0x3F800000], np.uint32).view(np.float32)
    assert np.array_equal(as_float16(values).view(np.uint16), by_numpy(values))
    assert as_float16(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert as_float16(np.array(1.5, np.float32)).shape == ()
