"""PyTorch's zip checkpoint, opcode by opcode and zip field by zip field. Nothing here reads or runs a pickle.

Pickle: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py and CPython's Lib/pickletools.py.
Zip: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import kind_of
from harness.formats.torch_pickle import STORAGES
from harness.malformed.fields.pieces import Pieces, concatenate

#: Where fields lie in a central directory entry and in the end record, with their formats.
CENTRAL = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I")}
CENTRAL |= {"size": (24, "<I"), "name-length": (28, "<H"), "extra-length": (30, "<H"), "offset": (42, "<I")}
END = {"disk": (4, "<H"), "here": (8, "<H"), "entries": (10, "<H"), "size": (12, "<I"), "offset": (16, "<I")}
END |= {"comment-length": (20, "<H")}


class _Memo:
    """Writes each string and class once and fetches it from the memo later, as torch.save does."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._count = 0

    def put(self, code: bytes = b"") -> bytes:
        number, self._count = self._count, self._count + 1
        if code:
            self._numbers[code] = number
        return code + pickle.BINPUT + bytes([number])

    def once(self, code: bytes) -> bytes:
        if code in self._numbers:
            return pickle.BINGET + bytes([self._numbers[code]])
        return self.put(code)


def text(value: str) -> bytes:
    """Return the opcode that pushes a string."""
    raw = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    """Return the opcode that torch.save uses for an integer of this size."""
    if 0 <= value < 1 << 8:
        return pickle.BININT1 + bytes([value])
    if 0 <= value < 1 << 16:
        return pickle.BININT2 + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return pickle.BININT + struct.pack("<i", value)
    raw = value.to_bytes(9, "little", signed=True)
    return pickle.LONG1 + bytes([len(raw)]) + raw


def numbers(values: tuple[int, ...]) -> bytes:
    """Return the opcodes that push a tuple of integers."""
    short = {0: pickle.EMPTY_TUPLE, 1: pickle.TUPLE1, 2: pickle.TUPLE2, 3: pickle.TUPLE3}
    end = short.get(len(values))
    return (b"" if end else pickle.MARK) + b"".join(map(integer, values)) + (end or pickle.TUPLE)


def build_fields(tensors: Mapping[str, NDArray[np.generic]], *, nested: str = "") -> Pieces:
    """Return the pieces of ``data.pkl`` for a state dict (below the key ``nested``, if given), up to 256 memos.

    Labels: ``proto``, ``dict``, ``mark``; for each tensor ``tN-name``, ``-rebuild``, ``-args``, ``-storage``,
    ``-class``, ``-key``, ``-place``, ``-count``, ``-storage-end``, ``-persid``, ``-offset``, ``-shape``,
    ``-stride``, ``-grad``, ``-hooks``, ``-args-end``, ``-reduce``; ``setitems``, ``stop``.
    """
    memo = _Memo()
    parts: Pieces = {"proto": pickle.PROTO + b"\x02", "dict": pickle.EMPTY_DICT + memo.put()}
    if nested:
        parts["dict"] += memo.once(text(nested)) + pickle.EMPTY_DICT + memo.put()
    parts["mark"] = pickle.MARK
    for number, (name, array) in enumerate(tensors.items()):
        strides = np.ascontiguousarray(array).strides[: array.ndim]
        storage = pickle.GLOBAL + f"torch\n{STORAGES[kind_of(array)]}\n".encode()
        pieces = {
            "name": memo.once(text(name)),
            "rebuild": memo.once(pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n"),
            "args": pickle.MARK,
            "storage": pickle.MARK + memo.once(text("storage")),
            "class": memo.once(storage),
            "key": memo.put(text(str(number))),
            "place": memo.once(text("cpu")),
            "count": integer(array.size),
            "storage-end": pickle.TUPLE + memo.put(),
            "persid": pickle.BINPERSID,
            "offset": integer(0),
            "shape": numbers(array.shape) + (memo.put() if array.ndim else b""),
            "stride": numbers(tuple(s // array.itemsize for s in strides))
            + (memo.put() if array.ndim else b""),
            "grad": pickle.NEWFALSE,
            "hooks": memo.once(pickle.GLOBAL + b"collections\nOrderedDict\n")
            + pickle.EMPTY_TUPLE
            + pickle.REDUCE
            + memo.put(),
            "args-end": pickle.TUPLE + memo.put(),
            "reduce": pickle.REDUCE + memo.put(),
        }
        parts |= {f"t{number}-{label}": piece for label, piece in pieces.items()}
    parts["setitems"] = pickle.SETITEMS + (pickle.SETITEM if nested else b"")
    parts["stop"] = pickle.STOP
    return parts


def entries(pickled: bytes, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    """Return the members of the archive: the pickle and a storage for each tensor."""
    storages = {
        f"archive/data/{number}": np.ascontiguousarray(array).tobytes()
        for number, array in enumerate(tensors.values())
    }
    return {"archive/data.pkl": pickled, **storages, "archive/version": b"3\n"}


def zipped(members: Mapping[str, bytes], *, align: int = 0) -> Pieces:
    """Return the pieces of a stored zip: ``localN-header``, ``-name``, ``-data``, ``centralN``, ``end``.

    With ``align`` every member's data begin at a multiple of it, by an extra field as torch.save writes it.
    """
    parts: Pieces = {}
    central: Pieces = {}
    position = 0
    for number, (name, data) in enumerate(members.items()):
        raw = name.encode()
        extra = b""
        if align:
            room = -(position + 30 + len(raw) + 4) % align
            extra = b"FB" + struct.pack("<H", room) + b"Z" * room
        # Version 2.0, no flags, stored; 1 January 1980.
        common = struct.pack("<4H3I", 0, 0, 0, 0x21, zlib.crc32(data), len(data), len(data))
        parts[f"local{number}-header"] = (
            b"PK\x03\x04\x14\0" + common + struct.pack("<2H", len(raw), len(extra))
        )
        parts[f"local{number}-name"] = raw + extra
        parts[f"local{number}-data"] = data
        central[f"central{number}"] = (
            b"PK\x01\x02\x14\0\x14\0" + common + struct.pack("<5H2I", len(raw), 0, 0, 0, 0, 0, position) + raw
        )
        position += 30 + len(raw) + len(extra) + len(data)
    size = len(concatenate(central))
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, len(members), len(members), size, position, 0)
    return {**parts, **central, "end": end}


def field(piece: bytes, place: tuple[int, str], value: int) -> bytes:
    """Return a piece with one of its fields replaced."""
    offset, form = place
    return piece[:offset] + struct.pack(form, value) + piece[offset + struct.calcsize(form) :]
