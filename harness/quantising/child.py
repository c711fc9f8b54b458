"""The child process that quantises: it holds one library and answers requests with blocks.

``python -m harness.quantising.child BUILD_FOLDER THREADS`` writes one JSON line that lists the types, then reads
requests, a JSON line each. Large things do not pass through a pipe: the child reads tensors from their file and writes
blocks into the new one, or works in memory that both processes share. It may die: ggml asserts instead of returning
errors. It starts in a tenth of a second because it imports little and binds nothing but ggml.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.quantising.finite import finite
from harness.quantising.protocol import DECODE, FILL, FINISH, FLOATS, NEAREST, ONES, Answer, Order
from sdcpp.binding import build_folder, ggml
from sdcpp.errors import Error

if TYPE_CHECKING:
    from harness.formats.tensor import Tensor
#: Bytes of one of them.
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
#: Types that ggml_quantize_chunk is known to make (ggml.c, 2025-12 to 2026-08). Others are tried in a copy of
#: this process: ggml aborts when it is asked for a type that exists only inside of matrix products.
MAKES = frozenset(
    "Q1_0 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 MXFP4 NVFP4 Q2_K Q3_K Q4_K Q5_K Q6_K TQ1_0 TQ2_0 "  # noqa: SIM905 - a list of words
    "IQ2_XXS IQ2_XS IQ3_XXS IQ3_S IQ2_S IQ1_S IQ1_M IQ4_NL IQ4_XS".split()
)
#: The number that no type of ggml has reached yet.
MOST_TYPES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Ggml:
    """A library of which nothing but ggml is called."""

    handle: ctypes.CDLL
    name: str


def types(build: build_folder.Build, loaded: Ggml) -> dict[str, dict[str, Any]]:
    """Return what the library's ggml knows of each type that it can make, by upper-case name.

    Raises LibraryUnusable.
    """
    found = {}
    for number in range(min(MOST_TYPES, build.abi()["enumerators"]["SD_TYPE_COUNT"])):
        kind = ggml.tensor_type(loaded, number)
        name = kind.name.upper()
        if not kind.quantised or kind.block_size < 1 or not kind.type_size:
            continue
        if name not in MAKES and not _survives(loaded, number, kind):
            continue
        found[name] = {**asdict(kind), "name": name, "number": number}
    return found


def _try(loaded: Ggml, number: int, kind: ggml.TensorType) -> None:
    size = kind.block_size
    source, target = (ctypes.c_float * size)(*range(size)), (ctypes.c_char * (2 * kind.type_size))()
    ones = (ctypes.c_float * size)(*[1.0] * size)
    ggml.quantise_rows(
        loaded,
        number,
        source=ctypes.addressof(source),
        target=ctypes.addressof(target),
        rows=1,
        row=size,
        importance=ctypes.addressof(ones),
    )


def _survives(loaded: Ggml, number: int, kind: ggml.TensorType) -> bool:
    """Return whether a copy of this process lives through making a type; False where there are no copies."""
    if not hasattr(os, "fork"):
        return False
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            _try(loaded, number, kind)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


#: Values that one thread takes on at a time, so that they and what becomes of them stay in its cache.
CHUNK = 1 << 18
#: Types for which ggml has one way of rounding only.
ONE_WAY = frozenset({"Q8_0", "Q1_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"})


class _Own(threading.local):
    """What a thread keeps for its next chunk: memory by name."""

    def __init__(self) -> None:
        self.rooms: dict[str, NDArray[np.uint8]] = {}

    def room(self, name: str, size: int) -> NDArray[np.uint8]:
        if name not in self.rooms or self.rooms[name].nbytes < size:
            self.rooms[name] = np.empty(size, np.uint8)
        return self.rooms[name][:size]


@dataclass(slots=True)
class _Filling:
    """The chunks that are being worked on since the last FINISH, oldest first."""

    number: int = -1
    open: deque[tuple[tuple[int, int, int], Future[int | None]]] = field(default_factory=deque)
    failed: Answer | None = None


class QuantiserServer:
    """A library and the files and memory that it works on, with a number of threads."""

    def __init__(self, loaded: Ggml, threads: int) -> None:
        self._loaded, self._pool, self._own = loaded, ThreadPoolExecutor(threads), _Own()
        self._threads = threads
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._filling = _Filling()
        self._decoders: dict[int, Any] = {}

    def do(self, order: Order) -> Answer | None:
        """Do what is asked for and return the answer; None where there is none yet."""
        if order.task == FILL:
            self._filling.number += 1
            self._fill(order)
            return None
        if order.task == FINISH:
            self._wait(0)
            filled, self._filling = self._filling, _Filling()
            return filled.failed or Answer()
        if order.memory:
            with Path(order.memory).open("r+b") as file:
                self._memory = np.frombuffer(mmap.mmap(file.fileno(), order.room), np.uint8)
        step = max(1, min(CHUNK // order.row, -(-order.rows // self._threads)))
        jobs = [
            self._pool.submit(self._in_memory, order, first, min(step, order.rows - first))
            for first in range(0, order.rows, step)
        ]
        for job in jobs:
            job.result()
        return Answer()

    def _fill(self, order: Order) -> None:
        """Begin with a tensor; no more chunks are open than keep all threads busy."""
        for first, rows in _chunks(order):
            self._wait(2 * self._threads)
            if self._filling.failed:
                return
            chunk = self._filling.number, first, rows
            self._filling.open.append((chunk, self._pool.submit(self._converted, order, first, rows)))

    def _wait(self, most: int) -> None:
        """Wait until no more than ``most`` chunks are open, and note the first that failed."""
        while len(self._filling.open) > most:
            chunk, job = self._filling.open.popleft()
            errno = job.result()
            if errno is not None and not self._filling.failed:
                self._filling.failed = Answer(refused=chunk, errno=errno)

    def _in_memory(self, order: Order, first: int, rows: int) -> None:
        count, packed = rows * order.row, order.packed
        if order.task == DECODE:
            source = self._memory[order.source + first * packed :]
            target = self._memory[order.target + 4 * first * order.row :]
            self._decoder(order.number)(source.ctypes.data, target.ctypes.data, count)
            return
        start = order.source + 4 * first * order.row
        values = self._memory[start : start + 4 * count].view(np.float32)
        start = order.target + first * packed
        self._quantise(order, values, self._memory[start : start + rows * packed])

    def _converted(self, order: Order, first: int, rows: int) -> int | None:
        """Convert rows of a tensor from file to file; returns what failed: the system's number, or 0 for the values."""
        try:
            values = self._read(order, first, rows)
        except (OSError, Error):
            return 0
        if values is None or not finite(values):
            return 0
        blocks = self._own.room("blocks", rows * order.packed)
        self._quantise(order, values, blocks)
        try:
            with FileIO(order.output, "r+") as file:
                file.seek(order.target + first * order.packed)
                done = 0
                while done < len(blocks):
                    done += file.write(blocks[done:].data)
        except OSError as error:
            return error.errno or -1
        return None

    def _read(self, order: Order, first: int, rows: int) -> NDArray[np.float32] | None:
        """Return rows of a tensor in a file as flat values; None if the file ends before."""
        if not order.plain:
            from harness.formats.tensor import TensorRows

            values = TensorRows(tensor=_tensor(order), start=first, count=rows).values()
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(values, np.float32).reshape(-1)
        width = _WIDTHS[order.kind] * order.row
        raw = self._own.room("raw", rows * width)
        with FileIO(order.file) as file:
            file.seek(order.source + first * width)
            done = 0
            while done < len(raw):
                got = file.readinto(raw[done:].data)
                if not got:
                    return None
                done += got
        if order.kind == "F32":
            return raw.view(np.float32)
        return self._values(raw, FLOATS[order.kind], rows * order.row, "values")

    def _quantise(self, order: Order, values: NDArray[np.float32], target: NDArray[np.uint8]) -> None:
        """Put the blocks of flat values into ``target``."""
        weights: NDArray[np.generic] | None = None
        if order.weights == ONES:
            weights = np.ones(order.row, np.float32)
        elif order.weights is not None:
            weights = self._memory[int(order.weights) :]
        self._rounded(order, values, target, weights)
        if order.task in (NEAREST, FILL) and weights is None and order.type not in ONE_WAY:
            self._better(order, values, target.reshape(-1, order.packed))

    def _better(self, order: Order, values: NDArray[np.float32], blocks: NDArray[np.uint8]) -> None:
        """Replace those rows of ``blocks`` that are nearer to the values when all columns matter alike."""
        plain = self._errors(order, values, blocks)
        if not plain.any():
            return
        searched = self._own.room("searched", blocks.nbytes)
        self._rounded(order, values, searched, np.ones(order.row, np.float32))
        searched = searched.reshape(blocks.shape)
        nearer = self._errors(order, values, searched) < plain
        blocks[nearer] = searched[nearer]

    def _errors(
        self, order: Order, values: NDArray[np.float32], blocks: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Return the squared error of each row."""
        found = self._values(blocks, order.number, values.size, "decoded")
        np.subtract(found, values, out=found)
        np.square(found, out=found)
        errors: NDArray[np.float32] = found.reshape(len(blocks), -1).sum(axis=1)
        return errors

    def _values(self, raw: NDArray[np.uint8], number: int, count: int, room: str) -> NDArray[np.float32]:
        found = self._own.room(room, 4 * count).view(np.float32)
        self._decoder(number)(raw.ctypes.data, found.ctypes.data, count)
        return found

    def _decoder(self, number: int) -> Any:
        if number not in self._decoders:
            self._decoders[number] = ggml.decoder(self._loaded, number)
        return self._decoders[number]

    def _rounded(
        self,
        order: Order,
        values: NDArray[np.float32],
        target: NDArray[np.uint8],
        weights: NDArray[np.generic] | None,
    ) -> None:
        ggml.quantise_rows(
            self._loaded,
            order.number,
            source=values.ctypes.data,
            target=target.ctypes.data,
            rows=values.size // order.row,
            row=order.row,
            importance=None if weights is None else weights.ctypes.data,
        )


def _chunks(order: Order) -> Iterator[tuple[int, int]]:
    """Yield the first row and the number of rows of each chunk of a tensor in a file."""
    if order.plain:
        step = max(1, CHUNK // order.row)
        for first in range(0, order.rows, step):
            yield first, min(step, order.rows - first)
    else:
        for rows in _tensor(order).slices():
            yield rows.start, rows.count


def _tensor(order: Order) -> Tensor:
    """Return the tensor that an order is about."""
    from harness.formats.tensor import Tensor

    return Tensor(
        name=order.file,
        shape=tuple(order.shape),
        kind=order.kind,
        path=Path(order.file),
        offset=order.source,
        strides=order.strides,
    )


def main(argv: list[str]) -> int:
    """Run the child."""
    folder, threads = argv
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            build = build_folder.read(Path(folder))
            loaded = Ggml(handle=build.opened(), name=os.fspath(build.library))
            head: dict[str, Any] = {"types": types(build, loaded)}
        except Error as error:
            head = {"what": error.what, "subject": error.subject, "remedy": error.remedy}
        answers.write(json.dumps(head).encode() + b"\n")
        answers.flush()
        if "types" in head:
            worker = QuantiserServer(loaded, int(threads))
            for line in sys.stdin.buffer:
                answer = worker.do(Order(**json.loads(line)))
                if answer is not None:
                    answers.write(json.dumps(asdict(answer)).encode() + b"\n")
                    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
