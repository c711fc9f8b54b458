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
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from harness.formats.tensor import Bytes, Rows
from sdcpp import cache
from sdcpp.errors import LibraryUnusable, TypeUnavailable
from sdcpp.run import cores, start

#: What the child can be asked to do, and what it answers when it could not.
QUANTISE, NEAREST, DECODE = "quantise", "nearest", "decode"
NOT_FINITE, TOO_SHORT = "not finite", "too short"
#: Weights of the columns that are all alike.
ONES = "ones"
#: Types of floats that the child reads from a file by itself, and ggml's numbers for them.
READS = {kind: int(GGMLQuantizationType[kind]) for kind in ("F32", "F16", "BF16")}


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


class _Shared:
    """Memory that the child maps as well, known to it by a number; it is replaced when more is needed."""

    def __init__(self, number: int) -> None:
        self.number = number
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


@dataclass(slots=True, kw_only=True)
class _Ticket:
    """An order that the child has been given: where its result will lie, and the answer once there is one."""

    shared: _Shared
    start: int
    size: int
    type: str
    answer: str = ""

    def found(self) -> Bytes:
        return self.shared.bytes()[self.start : self.start + self.size]


class NotFinite(Exception):  # noqa: N818 - says what is wrong with a piece; the caller knows whose fault that is
    """A piece of a tensor that was to be quantised holds NaN or infinity."""

    def __init__(self, piece: Rows) -> None:
        super().__init__(piece.tensor.name)
        self.piece = piece


class Quantiser:
    """A child process that holds the library of ``folder`` (a build's) and quantises for this one.

    A context manager. The child is started when it is first needed; if it dies, the call that it died of
    raises LibraryUnusable with the library's last words, and the next call starts another.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self._folder, self._threads = folder, threads or min(cores(), 16)
        self._process: subprocess.Popen[bytes] | None = None
        self._noise: IO[bytes] | None = None
        self._types: dict[str, TypeInfo] = {}
        self._own, *self._ahead = (_Shared(number) for number in range(3))
        self._open: deque[_Ticket] = deque()

    def __enter__(self) -> Quantiser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def types(self) -> Mapping[str, TypeInfo]:
        """Return the types that the library can make, by name ("Q8_0", "IQ2_XXS"), as its ggml lists them."""
        if not self._types:
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

    def stream(self, pieces: Iterable[tuple[Rows, str]]) -> Iterator[Bytes]:
        """Yield pieces of tensors as the ``nearest`` blocks of the type named with each, flat, in their order.

        The child reads floats from the file by itself and works on one piece ahead. What is yielded is
        overwritten when the next but one is asked for. Raises NotFinite and what ``quantise`` raises.
        """
        waiting: deque[tuple[Rows, _Ticket]] = deque()
        for number, (piece, name) in enumerate(pieces):
            waiting.append((piece, self._sent(number % len(self._ahead), piece, name)))
            if len(waiting) == len(self._ahead):
                yield self._result(*waiting.popleft())
        while waiting:
            yield self._result(*waiting.popleft())

    def _sent(self, place: int, piece: Rows, name: str) -> _Ticket:
        tensor, info = piece.tensor, self.info(name)
        order = _order(NEAREST, info, piece.count, tensor.row)
        size = piece.count * tensor.row // info.block * info.bytes
        if tensor.strides is None and tensor.kind in READS and hasattr(os, "preadv"):
            order |= {"file": str(tensor.path), "kind": tensor.kind, "source": piece.offset}
            return self._send(self._ahead[place], order, [], size)
        values = np.ascontiguousarray(piece.values(), np.float32)
        return self._send(self._ahead[place], order | {"check": True}, [values], size)

    def _result(self, piece: Rows, ticket: _Ticket) -> Bytes:
        answer = self._answer(ticket)
        if answer == NOT_FINITE:
            raise NotFinite(piece)
        if answer == TOO_SHORT:
            raise piece.tensor.invalid("the file ends inside it")
        return ticket.found()

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

    def _exchange(self, order: dict[str, Any], parts: Sequence[NDArray[np.generic]], expected: int) -> Bytes:
        """Put ``parts`` into shared memory, let the child work, and return a copy of what it made."""
        ticket = self._send(self._own, order, parts, expected)
        self._answer(ticket)
        return ticket.found().copy()

    def _send(
        self, shared: _Shared, order: dict[str, Any], parts: Sequence[NDArray[np.generic]], expected: int
    ) -> _Ticket:
        """Give the child an order; the result will lie behind ``parts`` in ``shared``."""
        if self._process is None:
            self._start()
        assert self._process is not None  # noqa: S101 - it was just started
        assert self._process.stdin is not None  # noqa: S101 - pipes were asked for
        places, end = [], 0
        for part in parts:
            places.append(end)
            end += part.nbytes + -part.nbytes % 64
        if len(places) > 1:
            order["weights"] = places[1]
        order |= {"shared": shared.number, "target": end} | shared.grown(end + expected)
        room = shared.bytes()
        for place, part in zip(places, parts, strict=True):
            room[place : place + part.nbytes] = part.reshape(-1).view(np.uint8)
        ticket = _Ticket(shared=shared, start=end, size=expected, type=order["type"])
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died(ticket.type) from None
        self._open.append(ticket)
        return ticket

    def _answer(self, ticket: _Ticket) -> str:
        """Return the child's answer to one order, reading those to earlier ones on the way."""
        while not ticket.answer:
            assert self._process is not None  # noqa: S101 - it was given the order
            assert self._process.stdout is not None  # noqa: S101 - pipes were asked for
            try:
                line = self._process.stdout.readline()
            except BaseException:
                self.close()  # an answer that was not waited for must not be taken for the next one's
                raise
            if not line.endswith(b"\n"):
                raise self._died(self._open[0].type)
            self._open.popleft().answer = line.decode().strip()
        return ticket.answer

    def _start(self) -> None:
        # Appended to, because reading here moves the place at which the child would write.
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed in close()
        self._process = start(
            [sys.executable, "-m", "harness.quantiser_child", self._folder, str(self._threads)],
            env={"GGML_NO_BACKTRACE": "1", "PYTHONUNBUFFERED": "1"},
            stderr=self._noise,
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died("the list of types")
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

    def _died(self, name: str) -> LibraryUnusable:
        assert self._process is not None  # noqa: S101 - it was running
        assert self._noise is not None  # noqa: S101
        status = self._process.wait()
        self._noise.seek(0)
        words = self._noise.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        self.close()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        last = f": {words[-1].strip()}" if words else ""
        return LibraryUnusable(f"the library died quantising ({how}{last})", name, "choose another type")

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
        self._open.clear()
        for shared in (self._own, *self._ahead):
            shared.forget()


def _order(task: str, info: TypeInfo, rows: int, row: int) -> dict[str, Any]:
    return {
        "task": task,
        "type": info.name,
        "number": info.number,
        "rows": rows,
        "row": row,
        "block": info.block,
        "size": info.bytes,
        "weights": ONES if info.needs_imatrix else None,
    }


def newest_build() -> Path | None:
    """Return the folder of the newest build for the CPU in the cache, or None if nothing was built."""
    found = []
    for path in (cache.root() / "builds").glob("*/build.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if record.get("backend") == "cpu":
            found.append((record["revision"], not record["patches"], record["date"], path.parent))
    return max(found)[-1] if found else None
