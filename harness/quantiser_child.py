"""The child process that quantises: it holds one library and answers requests with blocks.

``python -m harness.quantiser_child BUILD_FOLDER THREADS`` writes one JSON line that lists the types, then reads
requests, a JSON line each. The data lie in memory that both processes share. It may die: ggml asserts instead of
returning errors.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import SIZES
from harness.lora.cast import finite
from harness.quantiser import DECODE, NEAREST, NOT_FINITE, ONES, READS, TOO_SHORT
from sdcpp import build, ggml, library
from sdcpp.errors import Error
from sdcpp.library import Library

#: Types that ggml_quantize_chunk is known to make (ggml.c, 2025-12 to 2026-08). Others are tried in a copy of
#: this process: ggml aborts when it is asked for a type that exists only inside of matrix products.
MAKES = frozenset(
    "Q1_0 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 MXFP4 NVFP4 Q2_K Q3_K Q4_K Q5_K Q6_K TQ1_0 TQ2_0 "  # noqa: SIM905 - a list of words
    "IQ2_XXS IQ2_XS IQ3_XXS IQ3_S IQ2_S IQ1_S IQ1_M IQ4_NL IQ4_XS".split()
)
#: The number that no type of ggml has reached yet.
MOST_TYPES = 256


def types(loaded: Library) -> dict[str, dict[str, Any]]:
    """Return what the library's ggml knows of each type that it can make, by upper-case name."""
    found = {}
    for number in range(min(MOST_TYPES, loaded.enum("SD_TYPE_COUNT"))):
        kind = ggml.tensor_type(loaded, number)
        name = kind.name.upper()
        if not kind.quantised or kind.block_size < 1 or not kind.type_size:
            continue
        if name not in MAKES and not _survives(loaded, number, kind):
            continue
        found[name] = {**asdict(kind), "name": name, "number": number}
    return found


def _try(loaded: Library, number: int, kind: ggml.TensorType) -> None:
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


def _survives(loaded: Library, number: int, kind: ggml.TensorType) -> bool:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request: ``rows`` at ``source`` become other rows at ``target`` of the ``shared`` memory of that number.

    The task is to QUANTISE or to DECODE what lies in the same memory, or to find the NEAREST blocks of the two ways
    in which ggml rounds: to those values, or to floats of type ``kind`` in ``file``. ``weights`` are one number for
    each column: ONES, or at a place of the memory. With ``check``, and from a file always, values
    that are not finite are refused.
    """

    task: str
    type: str
    number: int
    rows: int
    row: int
    block: int
    size: int
    shared: int
    target: int
    source: int = 0
    weights: str | int | None = None
    check: bool = False
    file: str = ""
    kind: str = "F32"
    memory: str = ""
    room: int = 0

    @property
    def packed(self) -> int:
        """Bytes of a row of blocks."""
        return self.row // self.block * self.size


#: Values that one thread takes on at a time, so that they and what becomes of them stay in its cache.
CHUNK = 1 << 17
#: Types for which ggml has one way of rounding only.
ONE_WAY = frozenset({"Q8_0", "Q1_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"})


class Worker:
    """A library and the files and memory that it works on, with a number of threads."""

    def __init__(self, loaded: Library, threads: int) -> None:
        self._loaded, self._pool, self._scratch = loaded, ThreadPoolExecutor(threads), threading.local()
        self._threads = threads
        self._memory: dict[int, NDArray[np.uint8]] = {}
        self._file: tuple[str, IO[bytes]] | None = None

    def answer(self, line: bytes) -> str:
        """Do what a request asks for and return "done", or what kept it from being done."""
        order = Order(**json.loads(line))
        if order.memory:
            with Path(order.memory).open("r+b") as file:
                self._memory[order.shared] = np.frombuffer(mmap.mmap(file.fileno(), order.room), np.uint8)
        if order.file and (self._file is None or self._file[0] != order.file):
            if self._file is not None:
                self._file[1].close()
            self._file = order.file, Path(order.file).open("rb", buffering=0)  # noqa: SIM115 - kept for the next
        step = max(1, min(CHUNK // order.row, -(-order.rows // self._threads)))
        jobs = [
            self._pool.submit(self._work, order, first, min(step, order.rows - first))
            for first in range(0, order.rows, step)
        ]
        return next((complaint for complaint in [job.result() for job in jobs] if complaint), "done")

    def _work(self, order: Order, first: int, rows: int) -> str:
        """Do ``rows`` rows from ``first`` on; returns what kept it from being done."""
        memory = self._memory[order.shared]
        count, packed = rows * order.row, order.packed
        if order.task == DECODE:
            source = memory[order.source + first * packed :]
            target = memory[order.target + 4 * first * order.row :]
            ggml.decoder(self._loaded, order.number)(source.ctypes.data, target.ctypes.data, count)
            return ""
        if order.file:
            raw = self._read(order, first, rows)
            if raw is None:
                return TOO_SHORT
            if not _finite(raw, order.kind):
                return NOT_FINITE
            values = (
                raw.view(np.float32) if order.kind == "F32" else self._values(raw, READS[order.kind], count)
            )
        else:
            start = order.source + 4 * first * order.row
            values = memory[start : start + 4 * count].view(np.float32)
            if order.check and not _finite(values.view(np.uint8), "F32"):
                return NOT_FINITE
        start = order.target + first * packed
        target = memory[start : start + rows * packed]
        given = self._weights(order)
        self._quantise(order, values, target, given)
        if order.task == NEAREST and given is None and order.type not in ONE_WAY:
            self._better(order, values, target.reshape(rows, packed))
        return ""

    def _read(self, order: Order, first: int, rows: int) -> NDArray[np.uint8] | None:
        width = SIZES[order.kind][1] * order.row
        assert self._file is not None  # noqa: S101 - it was opened when the order came
        raw = self._room("raw", rows * width)
        done = 0
        while done < len(raw):
            got = os.preadv(self._file[1].fileno(), [raw[done:].data], order.source + first * width + done)
            if not got:
                return None
            done += got
        return raw

    def _better(self, order: Order, values: NDArray[np.float32], blocks: NDArray[np.uint8]) -> None:
        """Replace those rows of ``blocks`` that are nearer to the values when all columns matter alike."""
        plain = self._errors(order, values, blocks)
        if not plain.any():
            return
        searched = self._room("searched", blocks.nbytes)
        self._quantise(order, values, searched, np.ones(order.row, np.float32))
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

    def _values(
        self, raw: NDArray[np.uint8], number: int, count: int, room: str = "values"
    ) -> NDArray[np.float32]:
        found = self._room(room, 4 * count).view(np.float32)
        ggml.decoder(self._loaded, number)(raw.ctypes.data, found.ctypes.data, count)
        return found

    def _quantise(
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

    def _weights(self, order: Order) -> NDArray[np.generic] | None:
        if order.weights == ONES:
            return np.ones(order.row, np.float32)
        return None if order.weights is None else self._memory[order.shared][int(order.weights) :]

    def _room(self, name: str, size: int) -> NDArray[np.uint8]:
        """Return memory of this thread's own that is kept for the next chunk."""
        held: NDArray[np.uint8] | None = getattr(self._scratch, name, None)
        if held is None or held.nbytes < size:
            held = np.empty(size, np.uint8)
            setattr(self._scratch, name, held)
        return held[:size]


def _finite(raw: NDArray[np.uint8], kind: str) -> bool:
    """Return whether stored floats are all finite: none has all bits of its exponent set."""
    if kind == "F32":
        return finite(raw.view(np.float32))
    exponent = np.uint16(0x7C00 if kind == "F16" else 0x7F80)
    return bool(np.bitwise_and(raw.view(np.uint16), exponent).max() != exponent)


def main(argv: list[str]) -> int:
    """Run the child."""
    folder, threads = argv
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            loaded = library.load(build.read(Path(folder)))
            head: dict[str, Any] = {"types": types(loaded)}
        except Error as error:
            head = {"what": error.what, "subject": error.subject, "remedy": error.remedy}
        answers.write(json.dumps(head).encode() + b"\n")
        answers.flush()
        if "types" in head:
            worker = Worker(loaded, int(threads))
            for line in sys.stdin.buffer:
                answers.write(worker.answer(line).encode() + b"\n")
                answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
