"""The safetensors container, written tensor by tensor.

Format: https://huggingface.co/docs/safetensors/index#format. The safetensors package writes a file only from
tensors that are all in memory at once; a base model of 900 MB is streamed instead.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import kind_of


def write(path: Path, tensors: Iterable[tuple[str, NDArray[np.generic]]]) -> None:
    """Write named arrays (C order, little endian) as a safetensors file.

    The data go to a neighbouring file first, because the header that precedes them tells their lengths.
    """
    header: dict[str, object] = {}
    offset = 0
    data_path = path.with_name(path.name + ".data")
    try:
        with data_path.open("wb") as data:
            for name, array in tensors:
                raw = np.ascontiguousarray(array)
                header[name] = {
                    "dtype": kind_of(raw),
                    "shape": list(array.shape),
                    "data_offsets": [offset, offset + raw.nbytes],
                }
                offset += raw.nbytes
                data.write(raw.reshape(-1).view(np.uint8).data)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with path.open("wb") as out, data_path.open("rb") as data:
            out.write(struct.pack("<Q", len(text)))
            out.write(text)
            _copy(data, out)
    finally:
        data_path.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    for piece in _pieces(source):
        target.write(piece)


def _pieces(source: IO[bytes], size: int = 1 << 24) -> Iterator[bytes]:
    while piece := source.read(size):
        yield piece
