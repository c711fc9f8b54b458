from __future__ import annotations

import numpy as np
import pytest

from harness.quantising.finite import finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_among_many_is_found(value: float) -> None:
    values = np.ones((3, 1000), np.float32)
    assert finite(values)
    values[2, 999] = value
    assert not finite(values)


def test_finite_values_whose_sum_is_not_are_finite() -> None:
    assert finite(np.full(1000, 3e38, np.float32))
    assert finite(np.full(1000, 6e4, np.float16))
    assert not finite(np.array([np.inf, -np.inf], np.float32))
    assert finite(np.empty(0, np.float32))
