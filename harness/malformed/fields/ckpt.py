"""Build a ckpt from its opcodes and its zip fields. Nothing here reads or executes a pickle.

Pickle: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py and CPython's Lib/pickletools.py.
Zip: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.formats import torch_pickle
from harness.formats.tensor import kind_of
from harness.malformed.fields.pieces import Pieces, concatenate

#: The position and the struct format of fields in a central directory entry, and in the end record.
CENTRAL = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I")}
CENTRAL |= {"size": (24, "<I"), "name-length": (28, "<H"), "extra-length": (30, "<H"), "offset": (42, "<I")}
END = {"disk": (4, "<H"), "here": (8, "<H"), "entries": (10, "<H"), "size": (12, "<I"), "offset": (16, "<I")}
END |= {"comment-length": (20, "<H")}


def build_fields(tensors: Mapping[str, NDArray[np.generic]], *, nested: str = "") -> Pieces:
    """Return the pieces of ``data.pkl`` for a state dict (below the key ``nested``, if given).

    For the labels see ``harness.formats.torch_pickle.build_fields``.
    """
    described = ((name, array.shape, kind_of(array)) for name, array in tensors.items())
    return torch_pickle.build_fields(described, nested=nested)


def entries(pickled: bytes, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    """Return the members of the archive by name: the pickle, a storage for each tensor, and the version."""
    storages = {
        f"archive/data/{number}": np.ascontiguousarray(array).tobytes()
        for number, array in enumerate(tensors.values())
    }
    return {"archive/data.pkl": pickled, **storages, "archive/version": b"3\n"}


def zipped(members: Mapping[str, bytes], *, align: int = 0) -> Pieces:
    """Return the pieces of an uncompressed zip: ``localN-header``, ``-name``, ``-data``, ``centralN``, ``end``.

    With ``align`` the data of every member begin at a multiple of it, by means of an extra field as in torch.save.
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
