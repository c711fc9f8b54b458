"""The work of the child process that quantises: handle one request after another with several threads."""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.quantising.finite import finite
from harness.quantising.protocol import (
    DECODE,
    FILL,
    FINISH,
    FLOATS,
    NEAREST_WITH_VALUES,
    ONES,
    QUANTISE,
    QuantiseReply,
    QuantiseRequest,
)
from harness.quantising.q8_0 import quantise_q8_0
from harness.quantising.type_list import GgmlLibrary
from sdcpp.binding import ggml
from sdcpp.errors import Error

if TYPE_CHECKING:
    from harness.formats.tensor import Tensor

#: Bytes of one element of each of FLOATS.
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
#: Elements that one thread converts at a time, so that they and their blocks stay in its cache.
CHUNK = 1 << 18
#: Fewer elements are not divided among threads: handing them over takes longer than converting them.
LEAST = 1 << 13
#: Types that ggml rounds in one way only.
ONE_WAY = frozenset({"Q8_0", "Q1_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"})
#: Returns the flat float32 values of a chunk, or None if the file ends before.
_Read = Callable[[], NDArray[np.float32] | None]


class _Buffers(threading.local):
    """Memory that each thread keeps for its next chunk."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def get(self, name: str, size: int) -> NDArray[np.uint8]:
        """Return ``size`` bytes with any content."""
        if name not in self._buffers or self._buffers[name].nbytes < size:
            self._buffers[name] = np.empty(size, np.uint8)
        return self._buffers[name][:size]


@dataclass(slots=True)
class _Fills:
    """The FILL requests since the last FINISH: how many, the chunks not done yet, and the first failure.

    A chunk is the number of the request, the first row, and the number of rows.
    """

    count: int = 0
    chunks: deque[tuple[tuple[int, int, int], Future[int | None]]] = field(default_factory=deque)
    failure: QuantiseReply | None = None


class QuantiserServer:
    """A loaded library, the memory that it shares with the parent, and ``threads`` threads."""

    def __init__(self, library: GgmlLibrary, threads: int) -> None:
        self._library, self._threads = library, threads
        self._executor, self._buffers = ThreadPoolExecutor(threads), _Buffers()
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._fills = _Fills()
        self._decoders: dict[int, Any] = {}

    def handle(self, request: QuantiseRequest) -> QuantiseReply | None:
        """Do what a request asks for and return the reply; None for FILL, which goes on until FINISH."""
        if request.task == FILL:
            self._fill(request)
            return None
        if request.task == FINISH:
            self._wait(0)
            done, self._fills = self._fills, _Fills()
            return done.failure or QuantiseReply()
        if request.memory:
            with Path(request.memory).open("r+b") as file:
                self._memory = np.frombuffer(mmap.mmap(file.fileno(), request.memory_size), np.uint8)
        if request.rows * request.row <= LEAST:
            self._in_memory(request, 0, request.rows)
            return QuantiseReply()
        step = max(1, min(CHUNK // request.row, -(-request.rows // self._threads)))
        jobs = [
            self._executor.submit(self._in_memory, request, first, min(step, request.rows - first))
            for first in range(0, request.rows, step)
        ]
        for job in jobs:
            job.result()
        return QuantiseReply()

    def _fill(self, request: QuantiseRequest) -> None:
        """Start to convert a tensor; at most as many chunks are open as keep all threads busy."""
        number = self._fills.count
        self._fills.count += 1
        for first, rows, read in self._chunks(request):
            self._wait(2 * self._threads)
            if self._fills.failure:
                return
            job = self._executor.submit(self._to_file, request, first, read)
            self._fills.chunks.append(((number, first, rows), job))

    def _wait(self, most: int) -> None:
        """Wait until at most ``most`` chunks are open, and note the first that failed."""
        while len(self._fills.chunks) > most:
            chunk, job = self._fills.chunks.popleft()
            errno = job.result()
            if errno is not None and not self._fills.failure:
                self._fills.failure = QuantiseReply(refused=chunk, errno=errno)

    def _chunks(self, request: QuantiseRequest) -> Iterator[tuple[int, int, _Read]]:
        """Yield the first row and the number of rows of each chunk of a tensor in a file, and its reader."""
        if request.plain:
            step = max(1, CHUNK // request.row)
            for first in range(0, request.rows, step):
                rows = min(step, request.rows - first)
                yield first, rows, partial(self._read, request, first, rows)
        else:
            for piece in _tensor(request).slices():
                yield piece.start, piece.count, partial(_as_float32, piece.values)

    def _in_memory(self, request: QuantiseRequest, first: int, rows: int) -> None:
        count, row_bytes = rows * request.row, request.row_bytes
        if request.task == DECODE:
            source = self._memory[request.source + first * row_bytes :]
            target = self._memory[request.target + 4 * first * request.row :]
            self._decoder(request.number)(source.ctypes.data, target.ctypes.data, count)
            return
        start = request.source + 4 * first * request.row
        values = self._memory[start : start + 4 * count].view(np.float32)
        start = request.target + first * row_bytes
        blocks = self._memory[start : start + rows * row_bytes]
        self._quantise(request, values, blocks)
        if request.task == NEAREST_WITH_VALUES:
            target = self._memory[request.values + 4 * first * request.row :]
            self._decoder(request.number)(blocks.ctypes.data, target.ctypes.data, count)

    def _to_file(self, request: QuantiseRequest, first: int, read: _Read) -> int | None:
        """Write the blocks of the rows from ``first`` on into the output.

        Return None, or 0 if the values cannot be read or are not finite, or the errno with which writing failed.
        """
        try:
            values = read()
        except (OSError, Error):
            return 0
        if values is None or not finite(values):
            return 0
        blocks = self._buffers.get("blocks", values.size // request.row * request.row_bytes)
        self._quantise(request, values, blocks)
        try:
            with FileIO(request.output, "r+") as file:
                file.seek(request.target + first * request.row_bytes)
                done = 0
                while done < len(blocks):
                    done += file.write(blocks[done:].data)
        except OSError as error:
            return error.errno or -1
        return None

    def _read(self, request: QuantiseRequest, first: int, rows: int) -> NDArray[np.float32] | None:
        """Return rows of a tensor that the library can decode; see ``_Read``."""
        width = _WIDTHS[request.kind] * request.row
        raw = self._buffers.get("raw", rows * width)
        with FileIO(request.file) as file:
            file.seek(request.source + first * width)
            done = 0
            while done < len(raw):
                got = file.readinto(raw[done:].data)
                if not got:
                    return None
                done += got
        if request.kind == "F32":
            return raw.view(np.float32)
        return self._decode(raw, FLOATS[request.kind], rows * request.row, "values")

    def _quantise(
        self, request: QuantiseRequest, values: NDArray[np.float32], target: NDArray[np.uint8]
    ) -> None:
        """Put the blocks of flat values into ``target``."""
        weights: NDArray[np.generic] | None = None
        if request.weights == ONES:
            weights = np.ones(request.row, np.float32)
        elif request.weights is not None:
            weights = self._memory[int(request.weights) :]
        self._round(request, values, target, weights)
        if request.task != QUANTISE and weights is None and request.type not in ONE_WAY:
            self._improve(request, values, target.reshape(-1, request.row_bytes))

    def _improve(
        self, request: QuantiseRequest, values: NDArray[np.float32], blocks: NDArray[np.uint8]
    ) -> None:
        """Replace the rows of ``blocks`` that are nearer to the values if all columns have the weight 1."""
        errors = self._errors(request, values, blocks)
        if not errors.any():
            return
        others = self._buffers.get("searched", blocks.nbytes)
        self._round(request, values, others, np.ones(request.row, np.float32))
        others = others.reshape(blocks.shape)
        nearer = self._errors(request, values, others) < errors
        blocks[nearer] = others[nearer]

    def _errors(
        self, request: QuantiseRequest, values: NDArray[np.float32], blocks: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Return the squared error of each row."""
        found = self._decode(blocks, request.number, values.size, "decoded")
        np.subtract(found, values, out=found)
        np.square(found, out=found)
        errors: NDArray[np.float32] = found.reshape(len(blocks), -1).sum(axis=1)
        return errors

    def _decode(self, raw: NDArray[np.uint8], number: int, count: int, buffer: str) -> NDArray[np.float32]:
        """Return ``count`` values of blocks of the type ``number``, in a buffer of this thread."""
        found = self._buffers.get(buffer, 4 * count).view(np.float32)
        self._decoder(number)(raw.ctypes.data, found.ctypes.data, count)
        return found

    def _decoder(self, number: int) -> Any:
        if number not in self._decoders:
            self._decoders[number] = ggml.decoder(self._library, number)
        return self._decoders[number]

    def _round(
        self,
        request: QuantiseRequest,
        values: NDArray[np.float32],
        target: NDArray[np.uint8],
        weights: NDArray[np.generic] | None,
    ) -> None:
        if request.type == "Q8_0" and quantise_q8_0(values, target, self._scratch(values.size)):
            return
        ggml.quantise_rows(
            self._library,
            request.number,
            source=values.ctypes.data,
            target=target.ctypes.data,
            rows=values.size // request.row,
            columns=request.row,
            importance=None if weights is None else weights.ctypes.data,
        )

    def _scratch(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return two arrays of ``count`` values, in buffers of this thread."""
        first, second = (self._buffers.get(name, 4 * count).view(np.float32) for name in ("first", "second"))
        return first, second


def _as_float32(values: Callable[[], NDArray[np.floating]]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values(), np.float32).reshape(-1)


def _tensor(request: QuantiseRequest) -> Tensor:
    """Return the tensor that a FILL request is about."""
    # Importing the gguf package takes longer than all other imports of the child together but numpy, and only tensors
    # that are not plain need it.
    from harness.formats.tensor import Tensor  # noqa: PLC0415

    return Tensor(
        name=request.file,
        shape=request.shape,
        kind=request.kind,
        path=Path(request.file),
        offset=request.source,
        strides=request.strides,
    )
