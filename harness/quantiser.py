"""All tensor types that a built library can make, at the speed of C, without loading the library here."""

from __future__ import annotations

import contextlib
import json
import mmap
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes
from sdcpp import cache
from sdcpp.errors import LibraryUnusable, TypeUnavailable
from sdcpp.run import cores, start


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
        self._memory: mmap.mmap | None = None
        self._folder_shared: tempfile.TemporaryDirectory[str] | None = None

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
        info = self.info(name)
        data = np.ascontiguousarray(values, np.float32)
        rows, row = data.shape
        if row % info.block:
            raise TypeUnavailable(
                f"rows of {row} are not whole blocks of {info.block}", name, "choose another type"
            )
        if importance is None and info.needs_imatrix:
            importance = np.ones(row, np.float32)
        parts = [data] if importance is None else [data, np.ascontiguousarray(importance, np.float32)]
        return self._exchange(info, (rows, row), parts, rows * row // info.block * info.bytes).reshape(
            rows, -1
        )

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values [rows, row] of blocks [rows, bytes of a row], decoded by the library itself."""
        info = self.info(name)
        rows, row = blocks.shape[0], blocks.shape[1] // info.bytes * info.block
        parts = [np.ascontiguousarray(blocks)]
        found = self._exchange(info, (rows, row), parts, rows * row * 4, decode=True)
        return found.view(np.float32).reshape(rows, row)

    def _exchange(
        self,
        info: TypeInfo,
        shape: tuple[int, int],
        parts: Sequence[NDArray[np.generic]],
        expected: int,
        *,
        decode: bool = False,
    ) -> Bytes:
        """Put ``parts`` into the shared memory, let the child work, and return what it made."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None  # noqa: S101 - it was just started
        assert process.stdin is not None  # noqa: S101 - pipes were asked for
        assert process.stdout is not None  # noqa: S101
        places, end = [], 0
        for part in parts:
            places.append(end)
            end += part.nbytes + -part.nbytes % 64
        order: dict[str, Any] = {
            "number": info.number,
            "rows": shape[0],
            "row": shape[1],
            "block": info.block,
            "size": info.bytes,
            "decode": decode,
            "source": places[0],
            "target": end,
            "importance": places[1] if len(places) > 1 else None,
        }
        if self._memory is None or self._memory.size() < end + expected:
            order |= self._share(max(end + expected, 1 << 20))
        assert self._memory is not None  # noqa: S101 - it was just made
        room = np.frombuffer(self._memory, np.uint8)
        for place, part in zip(places, parts, strict=True):
            room[place : place + part.nbytes] = part.reshape(-1).view(np.uint8)
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            if not process.stdout.readline().endswith(b"\n"):
                raise BrokenPipeError
        except BrokenPipeError:
            raise self._died(info.name) from None
        except BaseException:
            self.close()  # an answer that was not waited for must not be taken for the next one's
            raise
        return room[end : end + expected].copy()

    def _share(self, size: int) -> dict[str, Any]:
        """Make memory that the child can map as well, and return what it has to be told."""
        place = Path("/dev/shm")  # noqa: S108 - only where it is memory; the file's name is not guessable
        if self._folder_shared is None:
            self._folder_shared = tempfile.TemporaryDirectory(dir=place if place.is_dir() else None)
        path = Path(self._folder_shared.name) / "shared"
        with contextlib.suppress(OSError):
            path.unlink()  # the child keeps what it has mapped
        with path.open("w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        return {"memory": str(path), "room": size}

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
        self._memory = None  # unmapped when the last array that looks at it is gone
        if self._folder_shared is not None:
            self._folder_shared.cleanup()
            self._folder_shared = None


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
