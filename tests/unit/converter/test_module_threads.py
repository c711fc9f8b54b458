from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from harness.converter import module_threads
from harness.converter.module_threads import for_each, one_blas_thread


def blas_threads() -> set[int]:
    """Return the numbers of threads of all BLAS libraries of this process."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_blas_has_one_thread_inside_and_its_former_number_afterwards() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas_threads()
    with one_blas_thread():
        assert blas_threads() <= {1}
        with one_blas_thread():
            assert blas_threads() <= {1}
        assert blas_threads() <= {1}
    assert blas_threads() == before


def test_results_have_the_order_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_threads, "cores", lambda: 2)
    second = threading.Event()

    def work(item: int) -> int:
        # The first item ends after the second one has begun.
        if item == 1:
            second.set()
        assert item != 0 or second.wait(10)
        return item * item

    seen: list[tuple[float, float]] = []
    assert for_each(work, range(5), lambda done, of: seen.append((done, of))) == [0, 1, 4, 9, 16]
    assert seen == [(done, 5) for done in range(1, 6)]


def test_an_error_is_raised_and_work_that_has_not_begun_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_threads, "cores", lambda: 1)
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        for_each(work, range(1000))
    assert len(begun) < 1000
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())
