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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

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
    """A request: values at ``source`` of the shared memory become blocks at ``target``, or the other way round."""

    number: int
    rows: int
    row: int
    block: int
    size: int
    decode: bool
    source: int
    target: int
    importance: int | None
    memory: str = ""
    room: int = 0


def serve(loaded: Library, threads: int, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests, each with one line when its result lies in the shared memory, until there are no more."""
    pool = ThreadPoolExecutor(threads)
    memory: mmap.mmap | None = None
    start = 0
    for line in requests:
        order = Order(**json.loads(line))
        if order.memory:
            with Path(order.memory).open("r+b") as file:
                memory = mmap.mmap(file.fileno(), order.room)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        step = max(1, -(-order.rows // (4 * threads)))
        jobs = [
            pool.submit(_work, loaded, order, start, row, min(step, order.rows - row))
            for row in range(0, order.rows, step)
        ]
        for job in jobs:
            job.result()
        answers.write(b"done\n")
        answers.flush()


def _work(loaded: Library, order: Order, memory: int, first: int, rows: int) -> None:
    plain, packed = 4 * order.row, order.row // order.block * order.size
    source, target = memory + order.source, memory + order.target
    if order.decode:
        ggml.decoder(loaded, order.number)(source + first * packed, target + first * plain, rows * order.row)
    else:
        weights = None if order.importance is None else memory + order.importance
        ggml.quantise_rows(
            loaded,
            order.number,
            source=source + first * plain,
            target=target + first * packed,
            rows=rows,
            row=order.row,
            importance=weights,
        )


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
            serve(loaded, int(threads), sys.stdin.buffer, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
