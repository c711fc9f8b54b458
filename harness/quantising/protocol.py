"""Messages between the process that wants blocks and the child that holds a library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


#: What the child can be asked to do.
QUANTISE, NEAREST, DECODE, FILL, FINISH = "quantise", "nearest", "decode", "fill", "finish"
#: Weights of the columns that are all alike.
ONES = "ones"
#: Types of floats that the library turns into F32, and ggml's numbers for them.
FLOATS = {"F32": 0, "F16": 1, "BF16": 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request: ``rows`` of ``row`` values at ``source`` become rows of another type, ``number``, at ``target``.

    QUANTISE, NEAREST (of the two ways in which ggml rounds) and DECODE work in shared memory, which is at the path
    ``memory`` with ``room`` for so many bytes if it is new; each is answered. FILL takes a tensor of type ``kind`` with
    ``shape`` and ``strides`` out of ``file`` and puts its NEAREST blocks into the file ``output``; it is answered by
    FINISH, together with all others. ``weights`` are one number for each column: ONES, or at a place of the memory.
    """

    task: str
    type: str = ""
    number: int = 0
    rows: int = 0
    row: int = 0
    block: int = 1
    size: int = 0
    source: int = 0
    target: int = 0
    weights: str | int | None = None
    memory: str = ""
    room: int = 0
    file: str = ""
    output: str = ""
    kind: str = ""
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] | None = None

    def line(self) -> bytes:
        """Return the order as JSON with a newline."""
        return json.dumps({name: getattr(self, name) for name in Order.__slots__}).encode() + b"\n"

    @property
    def packed(self) -> int:
        """Bytes of a row of blocks."""
        return self.row // self.block * self.size

    @property
    def plain(self) -> bool:
        """Whether the library itself can read what lies in ``file``, row by row."""
        return self.kind in FLOATS and self.strides is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an order; of FILL orders, of the first that failed.

    ``refused`` are its number since the last FINISH, the first row and the number of rows that are not finite or cannot
    be read; ``errno`` is the system's number for what kept them from being written.
    """

    refused: tuple[int, int, int] | None = None
    errno: int = 0
