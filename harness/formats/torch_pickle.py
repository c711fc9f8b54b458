"""PyTorch's zip checkpoint, written without PyTorch.

Layout: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py (``_save``): a stored zip with
``archive/data.pkl`` (a protocol 2 pickle of the state dict) and one ``archive/data/N`` for each storage. The
opcodes are written in the order in which torch.save writes them, because stable-diffusion.cpp follows that
order instead of running a pickle machine. Nothing here reads or executes a pickle.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.formats import pickle_opcodes
from harness.formats.tensor import kind_of

#: The storage class of torch for each type that a ckpt can hold.
STORAGES = {kind: storage for storage, kind in pickle_opcodes.STORAGES.items()}


class _Pickle:
    """Opcodes of pickle protocol 2, with each string and class written once and fetched from the memo later."""

    def __init__(self) -> None:
        self.out = bytearray(pickle.PROTO + b"\x02")
        self._memo: dict[tuple[str, str], int] = {}
        self._count = 0

    def put(self) -> int:
        number, self._count = self._count, self._count + 1
        self.out += (
            pickle.BINPUT + bytes([number])
            if number < 256
            else pickle.LONG_BINPUT + struct.pack("<I", number)
        )
        return number

    def _get(self, number: int) -> None:
        self.out += (
            pickle.BINGET + bytes([number])
            if number < 256
            else pickle.LONG_BINGET + struct.pack("<I", number)
        )

    def _once(self, kind: str, text: str, code: bytes) -> None:
        if (kind, text) in self._memo:
            self._get(self._memo[kind, text])
        else:
            self.out += code
            self._memo[kind, text] = self.put()

    def text(self, value: str) -> None:
        raw = value.encode()
        self._once("text", value, pickle.BINUNICODE + struct.pack("<I", len(raw)) + raw)

    def name(self, module: str, name: str) -> None:
        self._once("global", f"{module} {name}", pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def integer(self, value: int) -> None:
        if value < 1 << 8:
            self.out += pickle.BININT1 + bytes([value])
        elif value < 1 << 16:
            self.out += pickle.BININT2 + struct.pack("<H", value)
        else:
            self.out += (
                pickle.BININT + struct.pack("<i", value)
                if value < 1 << 31
                else pickle.LONG1 + b"\x08" + struct.pack("<q", value)
            )

    def shape(self, values: tuple[int, ...]) -> None:
        short = {0: pickle.EMPTY_TUPLE, 1: pickle.TUPLE1, 2: pickle.TUPLE2, 3: pickle.TUPLE3}
        if len(values) not in short:
            self.out += pickle.MARK
        for value in values:
            self.integer(value)
        self.out += short.get(len(values), pickle.TUPLE)
        if values:
            self.put()


def state_dict(tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> bytes:
    """Return the pickle of a state dict of tensors (name, shape, storage class), each in a storage of its own."""
    machine = _Pickle()
    out = machine.out
    out += pickle.EMPTY_DICT
    machine.put()
    out += pickle.MARK
    for number, (name, shape, storage) in enumerate(tensors):
        machine.text(name)
        machine.name("torch._utils", "_rebuild_tensor_v2")
        out += pickle.MARK + pickle.MARK
        machine.text("storage")
        machine.name("torch", storage)
        machine.text(str(number))
        machine.text("cpu")
        machine.integer(math.prod(shape))
        out += pickle.TUPLE
        machine.put()
        out += pickle.BINPERSID
        machine.integer(0)
        machine.shape(shape)
        machine.shape(tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))))
        out += pickle.NEWFALSE
        machine.name("collections", "OrderedDict")
        out += pickle.EMPTY_TUPLE + pickle.REDUCE
        machine.put()
        out += pickle.TUPLE
        machine.put()
        out += pickle.REDUCE
        machine.put()
    out += pickle.SETITEMS + pickle.STOP
    return bytes(out)


def write(path: Path, tensors: Mapping[str, NDArray[np.generic]]) -> None:
    """Write named arrays as ``torch.save(state_dict, path)`` would."""
    words = state_dict((name, array.shape, STORAGES[kind_of(array)]) for name, array in tensors.items())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", words)
        for number, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{number}", np.ascontiguousarray(array).tobytes())
        archive.writestr("archive/version", "3\n")
