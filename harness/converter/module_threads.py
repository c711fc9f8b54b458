"""Work on the modules of a LoRA in several threads, each of which uses BLAS alone.

The matrices of a LoRA are thin. With threads of its own BLAS waits longer for them than it computes: on two cores that
are busy with other work, a QR decomposition of 768 by 64 numbers takes 58 ms with two threads of BLAS and 2 ms with
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

from sdcpp.process import cores
from sdcpp.waiting_line import Progress, unseen

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let every BLAS library of this process use one thread inside the ``with`` block. Blocks may be nested."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def module_threads() -> Iterator[ThreadPoolExecutor]:
    """Yield an executor with a thread for each core. Work that has not begun is dropped at the end of the block."""
    with one_blas_thread(), ThreadPoolExecutor(cores()) as executor:
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def for_each(
    work: Callable[[Item], Result], items: Sequence[Item], progress: Progress = unseen
) -> list[Result]:
    """Return what ``work`` returns for each item, in order. Raises the first error of ``work``.

    ``progress`` is called with the number of items done, from the thread of the caller, and their total.
    """
    found = []
    with module_threads() as executor:
        for result in executor.map(work, items):
            found.append(result)
            progress(len(found), len(items))
    return found
