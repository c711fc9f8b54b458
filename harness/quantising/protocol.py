"""Messages between ``LibraryQuantiser`` and the child process that holds the library. Imported by the child.

The child sends a ``StartReply`` first. It then replies to each ``QuantiseRequest`` with a ``QuantiseReply``, except to
FILL requests: the reply to FINISH is for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.quantising.type_info import TypeInfo

#: The tasks of a request.
QUANTISE, NEAREST, DECODE, FILL, FINISH = "quantise", "nearest", "decode", "fill", "finish"
NEAREST_WITH_VALUES = "nearest with values"
#: Weights of the columns: all are 1.
ONES = "ones"
#: Float types that the library turns into F32, and ggml's numbers for them.
FLOATS = {"F32": 0, "F16": 1, "BF16": 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReply:
    """The types that the library can make, or the three parts of the error that kept it from being loaded."""

    types: tuple[TypeInfo, ...] = ()
    error: tuple[str, str, str] | None = None

    def line(self) -> bytes:
        """Return the reply as one line of JSON."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> StartReply:
        """Return the reply that ``line`` made."""
        content = json.loads(line)
        types = tuple(TypeInfo(**info) for info in content["types"])
        return cls(types=types, error=_tuple(content["error"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseRequest:
    """Convert ``rows`` rows of ``row`` elements at offset ``source`` and write them to offset ``target``.

    ``type`` and ``number`` are the quantised type, which has ``block`` elements in ``block_bytes`` bytes.

    QUANTISE, NEAREST (the nearest of the two roundings of ggml), NEAREST_WITH_VALUES and DECODE work in shared memory.
    ``memory`` is the path of the file that holds it and ``memory_size`` its size in bytes, if the child has not mapped
    it yet. NEAREST_WITH_VALUES also writes the values of the blocks, as F32, to offset ``values``.
    FILL reads a tensor of type ``kind`` with ``shape`` and ``strides`` from ``file`` and writes its NEAREST blocks
    into ``output``. FINISH waits for all FILL requests.
    ``weights`` has one number for each column: ONES, or an offset into the shared memory, or None.
    """

    task: str
    type: str = ""
    number: int = 0
    rows: int = 0
    row: int = 0
    block: int = 1
    block_bytes: int = 0
    source: int = 0
    target: int = 0
    values: int = 0
    weights: str | int | None = None
    memory: str = ""
    memory_size: int = 0
    file: str = ""
    output: str = ""
    kind: str = ""
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] | None = None

    def line(self) -> bytes:
        """Return the request as one line of JSON."""
        return _line({name: getattr(self, name) for name in QuantiseRequest.__slots__})

    @classmethod
    def from_line(cls, line: bytes) -> QuantiseRequest:
        """Return the request that ``line`` made."""
        content = json.loads(line)
        return cls(**{**content, "shape": tuple(content["shape"]), "strides": _tuple(content["strides"])})

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of blocks."""
        return self.row // self.block * self.block_bytes

    @property
    def plain(self) -> bool:
        """Whether the library itself can decode the tensor in ``file``, row by row."""
        return self.kind in FLOATS and self.strides is None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseReply:
    """The result of a request; of FILL requests, of the first that failed.

    ``refused`` locates the rows that are not finite or cannot be read: the number of the FILL request since the last
    FINISH, the first row, and the number of rows. If ``errno`` is not 0, they could not be written.
    """

    refused: tuple[int, int, int] | None = None
    errno: int = 0

    def line(self) -> bytes:
        """Return the reply as one line of JSON."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> QuantiseReply:
        """Return the reply that ``line`` made."""
        content = json.loads(line)
        return cls(refused=_tuple(content["refused"]), errno=content["errno"])


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _tuple(value: list[Any] | None) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)
