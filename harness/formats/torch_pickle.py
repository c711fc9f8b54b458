"""The pickle of a PyTorch checkpoint, written without PyTorch.

``data.pkl`` in the zip of a checkpoint is a pickle of protocol 2 of the state dict
(https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, ``_save``). The opcodes stand in the order in
which torch.save writes them, because stable-diffusion.cpp follows that order instead of running a pickle machine.
Nothing here reads or executes a pickle.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Iterable

from harness.formats import pickle_opcodes

#: The storage class of torch for each type that a ckpt can hold.
STORAGES = {kind: storage for storage, kind in pickle_opcodes.STORAGES.items()}


class _Memo:
    """Numbers the objects of a pickle. A string or class is written once and fetched from the memo later."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._count = 0

    def put(self) -> bytes:
        """Return the opcode that stores the object on top of the stack under the next number."""
        number, self._count = self._count, self._count + 1
        return _numbered(pickle.BINPUT, pickle.LONG_BINPUT, number)

    def once(self, code: bytes) -> bytes:
        """Return the opcodes that push an object: ``code`` and its number, or what fetches it from the memo."""
        if code in self._numbers:
            return _numbered(pickle.BINGET, pickle.LONG_BINGET, self._numbers[code])
        self._numbers[code] = self._count
        return code + self.put()


def _numbered(short: bytes, long: bytes, number: int) -> bytes:
    return short + bytes([number]) if number < 256 else long + struct.pack("<I", number)


def text(value: str) -> bytes:
    """Return the opcode that pushes a string."""
    raw = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(raw)) + raw


def name(module: str, qualified: str) -> bytes:
    """Return the opcode that pushes a class or function."""
    return pickle.GLOBAL + f"{module}\n{qualified}\n".encode()


def integer(value: int) -> bytes:
    """Return the opcode that pushes an integer; those of less than 32 bits as torch.save writes them."""
    if 0 <= value < 1 << 8:
        return pickle.BININT1 + bytes([value])
    if 0 <= value < 1 << 16:
        return pickle.BININT2 + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return pickle.BININT + struct.pack("<i", value)
    raw = value.to_bytes(9, "little", signed=True)
    return pickle.LONG1 + bytes([len(raw)]) + raw


def integers(values: tuple[int, ...]) -> bytes:
    """Return the opcodes that push a tuple of integers."""
    short = {0: pickle.EMPTY_TUPLE, 1: pickle.TUPLE1, 2: pickle.TUPLE2, 3: pickle.TUPLE3}
    end = short.get(len(values))
    return (b"" if end else pickle.MARK) + b"".join(map(integer, values)) + (end or pickle.TUPLE)


def build_fields(
    tensors: Iterable[tuple[str, tuple[int, ...], str]], *, nested: str = ""
) -> dict[str, bytes]:
    """Return the opcodes of a state dict of tensors (name, shape, type), in pieces by what they stand for.

    Each tensor has a storage of its own. With ``nested`` the state dict is the value of that key in another dict.
    Labels: ``proto``, ``dict``, ``mark``; for each tensor ``tN-name``, ``-rebuild``, ``-args``, ``-storage``,
    ``-class``, ``-key``, ``-place``, ``-count``, ``-storage-end``, ``-persid``, ``-offset``, ``-shape``,
    ``-stride``, ``-grad``, ``-hooks``, ``-args-end``, ``-reduce``; ``setitems``, ``stop``.
    """
    memo = _Memo()
    parts = {"proto": pickle.PROTO + b"\x02", "dict": pickle.EMPTY_DICT + memo.put()}
    if nested:
        parts["dict"] += memo.once(text(nested)) + pickle.EMPTY_DICT + memo.put()
    parts["mark"] = pickle.MARK
    for number, (key, shape, kind) in enumerate(tensors):
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        fields = {
            "name": memo.once(text(key)),
            "rebuild": memo.once(name("torch._utils", "_rebuild_tensor_v2")),
            "args": pickle.MARK,
            "storage": pickle.MARK + memo.once(text("storage")),
            "class": memo.once(name("torch", STORAGES[kind])),
            "key": memo.once(text(str(number))),
            "place": memo.once(text("cpu")),
            "count": integer(math.prod(shape)),
            "storage-end": pickle.TUPLE + memo.put(),
            "persid": pickle.BINPERSID,
            "offset": integer(0),
            # The empty tuple is no object of its own.
            "shape": integers(shape) + (memo.put() if shape else b""),
            "stride": integers(strides) + (memo.put() if shape else b""),
            "grad": pickle.NEWFALSE,
            "hooks": memo.once(name("collections", "OrderedDict"))
            + pickle.EMPTY_TUPLE
            + pickle.REDUCE
            + memo.put(),
            "args-end": pickle.TUPLE + memo.put(),
            "reduce": pickle.REDUCE + memo.put(),
        }
        parts |= {f"t{number}-{label}": piece for label, piece in fields.items()}
    parts["setitems"] = pickle.SETITEMS + (pickle.SETITEM if nested else b"")
    parts["stop"] = pickle.STOP
    return parts


def state_dict(tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> bytes:
    """Return the pickle of a state dict of tensors (name, shape, type), each in a storage of its own."""
    return b"".join(build_fields(tensors).values())
