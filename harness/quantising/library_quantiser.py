"""All tensor types that a built library can make, at the speed of C, without loading the library in this process."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from harness.child_process.driver import ChildProcess
from harness.child_process.ended import ChildEnded
from harness.formats.tensor import Bytes, Tensor, TensorRows
from harness.quantising.protocol import (
    DECODE,
    FILL,
    FINISH,
    NEAREST,
    NEAREST_WITH_VALUES,
    ONES,
    QUANTISE,
    QuantiseReply,
    QuantiseRequest,
    StartReply,
)
from harness.quantising.quantiser import RowsNotFinite, Take
from harness.quantising.shared_memory import SharedMemory
from harness.quantising.type_info import TypeInfo
from sdcpp.errors import LibraryUnusable, TypeUnavailable
from sdcpp.process import cores

#: More threads than these gain nothing.
_MOST_THREADS = 16
#: The number of values after which ``into`` waits for the child, so that a caller can tell how much is done.
SYNCHRONISED = 1 << 21


class LibraryQuantiser:
    """A child process that loads the library of the build in ``folder`` and quantises for this process.

    A context manager. The child starts when it is first needed. If it dies, the current call raises LibraryUnusable
    with the library's last message, and the next call starts another child. Several threads may call it; the child
    handles one request at a time, each with all its threads.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        self._threads = threads or min(cores(), _MOST_THREADS)
        self._child: ChildProcess | None = None
        self._started = False
        self._types: dict[str, TypeInfo] = {}
        self._memory = SharedMemory()
        #: Held from a request until its reply has been read.
        self._turn = threading.RLock()
        #: The types in requests without a reply yet, for the message if the child dies.
        self._open_types: set[str] = set()

    def __enter__(self) -> LibraryQuantiser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Start the child unless it runs; it loads the library while the caller does something else."""
        self._running()

    def _running(self) -> ChildProcess:
        if self._child is None:
            self._child = ChildProcess(
                [sys.executable, "-m", "harness.quantising.child", self.folder, str(self._threads)],
                # The child multiplies no matrices, so numpy needs no threads there.
                env={"GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        return self._child

    def types(self) -> Mapping[str, TypeInfo]:
        """Return the types that the library can make, by name ("Q8_0", "IQ2_XXS"), in the order of ggml's numbers."""
        if not self._types:
            with self._turn:
                self._start()
        return self._types

    def info(self, name: str) -> TypeInfo:
        """Return one type; raises TypeUnavailable."""
        try:
            return self.types()[name]
        except KeyError:
            raise TypeUnavailable(
                "the library cannot make a type", name, f"it can make {', '.join(self.types())}"
            ) from None

    def quantise(
        self, values: NDArray[np.floating], name: str, importance: NDArray[np.floating] | None = None
    ) -> Bytes:
        """Return float values [rows, row] as blocks, uint8 [rows, bytes of a row].

        ``importance`` [row] weights the columns if the type can use that. Raises TypeUnavailable for rows that are not
        whole blocks, and LibraryUnusable if the library crashes.
        """
        return self._make(QUANTISE, name, [values] if importance is None else [values, importance])[0]

    def nearest(self, values: NDArray[np.floating], name: str) -> Bytes:
        """Return float values [rows, row] as blocks, in the better of ggml's two roundings for each row.

        With a uniform importance matrix ggml searches for the best block scale. Without one it derives the scale from
        the largest value, or weights the search by the values. Both are tried for each row, and the one with the
        smaller squared error is kept; they take the same number of bytes. Raises what ``quantise`` raises.
        """
        return self._make(NEAREST, name, [values])[0]

    def nearest_with_values(
        self, values: NDArray[np.floating], name: str
    ) -> tuple[Bytes, NDArray[np.float32]]:
        """Return what ``nearest`` returns, and the values [rows, row] of these blocks, with one request.

        Raises what ``quantise`` raises.
        """
        blocks, decoded = self._make(NEAREST_WITH_VALUES, name, [values])
        return blocks, decoded.view(np.float32).reshape(values.shape)

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values [rows, row] of blocks [rows, bytes of a row], decoded by the library itself."""
        info = self.info(name)
        rows, row = blocks.shape[0], blocks.shape[1] // info.bytes * info.block
        request = _request(DECODE, info, rows, row)
        [found] = self._exchange(request, [np.ascontiguousarray(blocks)], rows * row * 4)
        return found.view(np.float32).reshape(rows, row)

    @contextmanager
    def into(self, target: Path) -> Iterator[Take]:
        """Yield a function that takes tensors and writes their ``nearest`` blocks into the file ``target``.

        The child reads each tensor from its file and works while the caller goes on, which waits for it after every
        SYNCHRONISED values. All blocks are written at the end of the ``with`` block; until then nobody else may change
        those bytes. Raises RowsNotFinite, OSError if the file cannot be written, and what ``quantise`` raises.
        """
        taken: list[Tensor] = []
        waiting = 0

        def take(tensor: Tensor, name: str, at: int) -> None:
            nonlocal waiting
            if tensor.size:
                taken.append(tensor)
                with self._turn:
                    self._send(_fill_request(tensor, self.info(name), at, target))
            waiting += tensor.size
            if waiting >= SYNCHRONISED:
                finish()
                waiting = 0

        def finish() -> None:
            with self._turn:
                reply = self._ask(QuantiseRequest(task=FINISH)) if taken else QuantiseReply()
            if reply.errno:
                raise OSError(reply.errno, os.strerror(reply.errno))
            if reply.refused:
                number, first, rows = reply.refused
                raise RowsNotFinite(TensorRows(tensor=taken[number], start=first, count=rows))
            taken.clear()

        try:
            yield take
            finish()
        except RowsNotFinite:
            raise  # the child has answered, and writes no more
        except BaseException:
            self.close()  # it may still be writing
            raise

    def _make(self, task: str, name: str, parts: Sequence[NDArray[np.floating]]) -> list[Bytes]:
        """Return the blocks [rows, bytes of a row] and, for NEAREST_WITH_VALUES, the bytes of their values."""
        info = self.info(name)
        data = [np.ascontiguousarray(part, np.float32) for part in parts]
        rows, row = data[0].shape
        if row % info.block:
            raise TypeUnavailable(
                f"rows of {row} are not whole blocks of {info.block}", name, "choose another type"
            )
        request = _request(task, info, rows, row)
        sizes = [rows * row // info.block * info.bytes]
        if task == NEAREST_WITH_VALUES:
            sizes.append(rows * row * 4)
        blocks, *values = self._exchange(request, data, *sizes)
        return [blocks.reshape(rows, -1), *values]

    def _exchange(
        self, request: QuantiseRequest, parts: Sequence[NDArray[np.generic]], *sizes: int
    ) -> list[Bytes]:
        """Let the child work on ``parts`` in shared memory and return copies of the results, uint8 of ``sizes``."""
        with self._turn:
            self._start()  # first, because a new child has mapped no memory yet
            *offsets, end = itertools.accumulate(
                (size + -size % 64 for size in (*(part.nbytes for part in parts), *sizes)), initial=0
            )
            if new := self._memory.grow(end):
                request = replace(request, memory=str(new[0]), memory_size=new[1])
            memory = self._memory.bytes()
            for offset, part in zip(offsets, parts, strict=False):
                memory[offset : offset + part.nbytes] = part.reshape(-1).view(np.uint8)
            weights = offsets[1] if len(parts) > 1 else request.weights
            results = offsets[len(parts) :]
            self._ask(replace(request, target=results[0], values=results[-1], weights=weights))
            self._memory.hide()
            return [memory[start : start + size].copy() for start, size in zip(results, sizes, strict=True)]

    def _ask(self, request: QuantiseRequest) -> QuantiseReply:
        """Send a request and return the reply."""
        self._send(request)
        reply = QuantiseReply.from_line(self._receive())
        self._open_types.clear()
        return reply

    def _start(self) -> None:
        """Start the child unless it runs, and wait until it has loaded the library."""
        if self._child is not None and self._started:
            return
        reply = StartReply.from_line(self._receive())
        if reply.error:
            self.close()
            raise LibraryUnusable(*reply.error)
        self._types = {info.name: info for info in reply.types}
        self._started = True

    def _send(self, request: QuantiseRequest) -> None:
        self._start()
        self._open_types |= {request.type} - {""}
        try:
            self._running().send(request.line())
        except ChildEnded as ended:
            raise self._crash(ended) from None

    def _receive(self) -> bytes:
        try:
            return self._running().receive()
        except ChildEnded as ended:
            raise self._crash(ended) from None
        except BaseException:
            self.close()  # the reply that is still to come must not be taken for that to the next request
            raise

    def _crash(self, ended: ChildEnded) -> LibraryUnusable:
        """Close the child and return the error that says how it ended."""
        lines = self._running().stderr_tail().strip().splitlines()
        message = f": {lines[-1].strip()}" if lines else ""
        types = ", ".join(sorted(self._open_types)) or "the list of types"
        self.close()
        return LibraryUnusable(
            f"the library crashed while quantising ({ended.cause}{message})", types, "choose another type"
        )

    def close(self) -> None:
        """Kill the child and release the shared memory."""
        child, self._child = self._child, None
        self._started = False
        if child is not None:
            child.close()
        self._open_types.clear()
        self._memory.release()


def _request(task: str, info: TypeInfo, rows: int, row: int) -> QuantiseRequest:
    return QuantiseRequest(
        task=task,
        type=info.name,
        number=info.number,
        rows=rows,
        row=row,
        block=info.block,
        block_bytes=info.bytes,
        weights=ONES if info.needs_imatrix else None,
    )


def _fill_request(tensor: Tensor, info: TypeInfo, at: int, target: Path) -> QuantiseRequest:
    return replace(
        _request(FILL, info, tensor.size // tensor.row, tensor.row),
        file=str(tensor.path),
        kind=tensor.kind,
        source=tensor.offset,
        shape=tensor.shape,
        strides=tensor.strides,
        output=str(target),
        target=at,
    )
