"""All tensor types that a built library can make, at the speed of C, without loading the library here."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes, Tensor, TensorRows
from harness.quantising.protocol import DECODE, FILL, FINISH, NEAREST, ONES, QUANTISE, Answer, Order
from sdcpp.errors import LibraryUnusable, TypeUnavailable
from sdcpp.process import cores, start

#: Takes a tensor and the name of a type, and the byte of a file at which its blocks are to lie.
Take = Callable[[Tensor, str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeInfo:
    """A quantised type: elements (``block``) and ``bytes`` in one block, and ggml's ``number`` for it.

    ``needs_imatrix`` types cannot be made without weights for the columns; uniform ones are used if none are
    given.
    """

    name: str
    number: int
    block: int
    bytes: int
    needs_imatrix: bool

    @property
    def bits(self) -> float:
        """Bits for one element."""
        return 8 * self.bytes / self.block


class RowsNotFinite(Exception):
    """A piece of a tensor that was to be quantised holds NaN or infinity, or cannot be read."""

    def __init__(self, piece: TensorRows) -> None:
        super().__init__(piece.tensor.name)
        self.piece = piece


class _Shared:
    """Memory that the child maps as well; it is replaced when more is needed."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def grown(self, size: int) -> dict[str, Any]:
        """Make room for ``size`` bytes and return what the child has to be told, if it is new."""
        if self._memory is not None and self._memory.size() >= size:
            return {}
        place = Path("/dev/shm")  # noqa: S108 - only where it is memory; the file's name is not guessable
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=place if place.is_dir() else None)
        path, size = Path(self._folder.name) / "shared", max(size, 1 << 20)
        with contextlib.suppress(OSError):
            path.unlink()  # the child keeps what it has mapped
        with path.open("w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        return {"memory": str(path), "room": size}

    def bytes(self) -> Bytes:
        """Return all of it."""
        assert self._memory is not None  # noqa: S101 - it was grown before
        return np.frombuffer(self._memory, np.uint8)

    def forget(self) -> None:
        """Let it go; it is unmapped when the last array that looks at it is gone."""
        self._memory = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class LibraryQuantiser:
    """A child process that holds the library of ``folder`` (a build's) and quantises for this one.

    A context manager. The child is started when it is first needed; if it dies, the call that it died of
    raises LibraryUnusable with the library's last words, and the next call starts another.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self._folder, self._threads = folder, threads or min(cores(), 16)
        self._process: subprocess.Popen[bytes] | None = None
        self._greeted = False
        self._noise: IO[bytes] | None = None
        self._types: dict[str, TypeInfo] = {}
        self._shared = _Shared()
        self._asked: set[str] = set()

    def __enter__(self) -> LibraryQuantiser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Start the child without waiting for it, where there is something else to do meanwhile."""
        if self._process is not None:
            return
        # Appended to, because reading here moves the place at which the child would write.
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed in close()
        self._process = start(
            [sys.executable, "-m", "harness.quantising.child", self._folder, str(self._threads)],
            # numpy multiplies no matrices there and needs no threads of its own.
            env={"GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1"},
            stderr=self._noise,
        )
        self._greeted = False

    def types(self) -> Mapping[str, TypeInfo]:
        """Return the types that the library can make, by name ("Q8_0", "IQ2_XXS"), as its ggml lists them."""
        if not self._types:
            self._ready()
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

        ``importance`` [row] weighs the columns where the type can make use of that. Raises TypeUnavailable for
        rows that are not whole blocks, and LibraryUnusable if the library dies of it.
        """
        parts = [values] if importance is None else [values, importance]
        return self._made(QUANTISE, name, parts)

    def nearest(self, values: NDArray[np.floating], name: str) -> Bytes:
        """Return float values [rows, row] as the blocks nearest to them, of the two that ggml makes.

        Told that all columns matter alike, ggml searches for the scale of a block; told nothing, it takes the
        largest value's or weighs by the values themselves. Which is better differs from row to row; a row costs
        the same bytes either way. Raises what ``quantise`` raises.
        """
        return self._made(NEAREST, name, [values])

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values [rows, row] of blocks [rows, bytes of a row], decoded by the library itself."""
        info = self.info(name)
        rows, row = blocks.shape[0], blocks.shape[1] // info.bytes * info.block
        order = _order(DECODE, info, rows, row)
        found = self._exchange(order, [np.ascontiguousarray(blocks)], rows * row * 4)
        return found.view(np.float32).reshape(rows, row)

    @contextmanager
    def into(self, target: Path) -> Iterator[Take]:
        """Yield what takes tensors and writes their ``nearest`` blocks into the file ``target``.

        The child reads the tensors from their file by itself and is at work as soon as it was given the first;
        at the end of the ``with`` block all is written. Nothing may touch those bytes meanwhile.
        Raises Refused, OSError for what keeps the system from writing, and what ``quantise`` raises.
        """
        taken: list[Tensor] = []

        def take(tensor: Tensor, name: str, at: int) -> None:
            if tensor.size:
                taken.append(tensor)
                self._send(_fill(tensor, self.info(name), at, target))

        try:
            yield take
            answer = self._ask(Order(task=FINISH)) if taken else Answer()
        except BaseException:
            self.close()  # it may be writing still
            raise
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno))
        if answer.refused:
            number, first, rows = answer.refused
            raise RowsNotFinite(TensorRows(tensor=taken[number], start=first, count=rows))

    def _made(self, task: str, name: str, parts: Sequence[NDArray[np.floating]]) -> Bytes:
        info = self.info(name)
        data = [np.ascontiguousarray(part, np.float32) for part in parts]
        rows, row = data[0].shape
        if row % info.block:
            raise TypeUnavailable(
                f"rows of {row} are not whole blocks of {info.block}", name, "choose another type"
            )
        order = _order(task, info, rows, row)
        return self._exchange(order, data, rows * row // info.block * info.bytes).reshape(rows, -1)

    def _exchange(self, order: Order, parts: Sequence[NDArray[np.generic]], expected: int) -> Bytes:
        """Put ``parts`` into shared memory, let the child work, and return a copy of what it made behind them."""
        self._ready()  # a new child knows no memory, and closing the old one has let it go
        places, end = [], 0
        for part in parts:
            places.append(end)
            end += part.nbytes + -part.nbytes % 64
        new = self._shared.grown(end + expected)
        room = self._shared.bytes()
        for place, part in zip(places, parts, strict=True):
            room[place : place + part.nbytes] = part.reshape(-1).view(np.uint8)
        weights = places[1] if len(places) > 1 else order.weights
        self._ask(replace(order, target=end, weights=weights, **new))
        return room[end : end + expected].copy()

    def _ask(self, order: Order) -> Answer:
        """Give the child an order and return its answer."""
        self._send(order)
        assert self._process is not None  # noqa: S101 - it was given the order
        assert self._process.stdout is not None  # noqa: S101 - pipes were asked for
        try:
            line = self._process.stdout.readline()
        except BaseException:
            self.close()  # an answer that was not waited for must not be taken for the next one's
            raise
        if not line.endswith(b"\n"):
            raise self._died()
        self._asked.clear()
        return Answer(**json.loads(line))

    def _send(self, order: Order) -> None:
        child = self._ready()
        assert child.stdin is not None  # noqa: S101 - pipes were asked for
        self._asked |= {order.type} - {""}
        try:
            child.stdin.write(order.line())
            child.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _ready(self) -> subprocess.Popen[bytes]:
        """Return the child, started and heard of."""
        self.begin()
        assert self._process is not None  # noqa: S101 - it was just started
        if self._greeted:
            return self._process
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        head = json.loads(line)
        if "types" not in head:
            self.close()
            raise LibraryUnusable(head["what"], head["subject"], head["remedy"])
        self._types = {
            name: TypeInfo(
                name=name,
                number=facts["number"],
                block=facts["block_size"],
                bytes=facts["type_size"],
                needs_imatrix=facts["needs_imatrix"],
            )
            for name, facts in head["types"].items()
        }
        self._greeted = True
        return self._process

    def _died(self) -> LibraryUnusable:
        assert self._process is not None  # noqa: S101 - it was running
        assert self._noise is not None  # noqa: S101
        status = self._process.wait()
        self._noise.seek(0)
        words = self._noise.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        asked = ", ".join(sorted(self._asked)) or "the list of types"
        self.close()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        last = f": {words[-1].strip()}" if words else ""
        return LibraryUnusable(f"the library died quantising ({how}{last})", asked, "choose another type")

    def close(self) -> None:
        """End the child process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        if self._noise is not None:
            self._noise.close()
            self._noise = None
        self._asked.clear()
        self._shared.forget()


def _order(task: str, info: TypeInfo, rows: int, row: int) -> Order:
    return Order(
        task=task,
        type=info.name,
        number=info.number,
        rows=rows,
        row=row,
        block=info.block,
        size=info.bytes,
        weights=ONES if info.needs_imatrix else None,
    )


def _fill(tensor: Tensor, info: TypeInfo, at: int, target: Path) -> Order:
    return replace(
        _order(FILL, info, tensor.size // tensor.row, tensor.row),
        file=str(tensor.path),
        kind=tensor.kind,
        source=tensor.offset,
        shape=tensor.shape,
        strides=tensor.strides,
        output=str(target),
        target=at,
    )
