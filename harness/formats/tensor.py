"""Tensors in files: their types, where their data are, and how stored bytes become values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import ml_dtypes
import numpy as np
from gguf import quants
from numpy.typing import NDArray

from sdcpp.errors import FileInvalid, TypeUnavailable

Bytes = NDArray[np.uint8]
#: The number of elements and of bytes in one block of each type. The gguf package lists those of ggml; the others are
#: types of safetensors.
SIZES: dict[str, tuple[int, int]] = {t.name: size for t, size in gguf.GGML_QUANT_SIZES.items()} | {
    "F8_E4M3": (1, 1),
    "F8_E5M2": (1, 1),
    "BOOL": (1, 1),
    "U8": (1, 1),
    "U16": (1, 2),
    "U32": (1, 4),
    "U64": (1, 8),
}
#: The numpy dtype of each type whose elements are stored one by one. ml_dtypes has the floats that numpy lacks.
NUMPY: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("<i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("<u1"),
    "BOOL": np.dtype("<u1"),
}
_KINDS = {dtype: kind for kind, dtype in NUMPY.items() if kind != "BOOL"}
#: Floating point types whose elements are stored one by one.
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
#: The types that a safetensors file can hold.
SAFETENSORS = frozenset(NUMPY)
#: The most axes of an array of numpy.
MOST_AXES = 64
#: The most bytes of decoded values to hold in memory at a time.
PIECE = 1 << 24
#: The elements of blocks that the gguf package decodes or quantises at a time, so that its arrays fit into a cache.
DECODED = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataValue:
    """A value in a file's metadata and its GGUF type: "STRING", "UINT32", "ARRAY:STRING" and so on."""

    type: str
    value: object


Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor in a file. Its data are read when they are asked for.

    ``shape`` is in PyTorch's order. ``kind`` is the stored type, ``offset`` the byte at which the data begin.
    ``strides`` is in elements, and set only for tensors of a ckpt that are not stored row by row.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    path: Path
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def row(self) -> int:
        """The number of elements in a row. A block never spans two rows."""
        return self.shape[-1] if self.shape else 1

    @property
    def nbytes(self) -> int:
        """The number of bytes stored."""
        return stored_bytes(self.kind, self.size)

    def raw(self, start: int = 0, count: int | None = None) -> Bytes:
        """Return ``count`` stored bytes from ``start`` on. Raises FileInvalid if the file is too short."""
        if self.strides is not None:
            return self._gathered()[start : None if count is None else start + count]
        count = self.nbytes - start if count is None else count
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + start)
                data = np.fromfile(file, np.uint8, count)
        except OSError as error:
            raise FileInvalid(
                f"cannot be read ({error.strerror})", self.path, "check that the file still exists"
            ) from error
        if data.size != count:
            raise self.invalid("the file ends inside it")
        return data

    def _gathered(self) -> Bytes:
        """Return the bytes of a tensor with strides, copied into the order of rows."""
        assert self.strides is not None  # noqa: S101 - checked by the caller
        reach = (
            1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) if self.size else 0
        )
        width = SIZES[self.kind][1]
        flat = Tensor(name=self.name, shape=(reach,), kind=self.kind, path=self.path, offset=self.offset)
        items = flat.raw().view(f"V{width}")
        view = np.lib.stride_tricks.as_strided(items, self.shape, [s * width for s in self.strides])
        return np.ascontiguousarray(view).reshape(-1).view(np.uint8)

    def values(self) -> NDArray[np.floating]:
        """Return the values as ``decoded`` does, in the tensor's shape. Raises FileInvalid if it has too many axes."""
        if len(self.shape) > MOST_AXES:
            raise self.invalid(f"it has {len(self.shape)} axes, more than {MOST_AXES}")
        return decoded(self.raw(), self.kind).reshape(self.shape)

    def slices(self) -> Iterator[TensorRows]:
        """Yield all rows in slices whose values take at most PIECE bytes.

        A longer row is a slice of its own. A tensor with strides is one slice.
        """
        if not self.size:
            return
        rows = self.size // self.row
        step = max(1, PIECE // (4 * self.row)) if self.row % SIZES[self.kind][0] == 0 else rows
        if self.strides is not None:
            step = max(1, rows)
        for start in range(0, rows, step):
            yield TensorRows(tensor=self, start=start, count=min(step, rows - start))

    def pieces(self) -> Iterator[NDArray[np.floating]]:
        """Yield the values of each slice, [rows, row]."""
        for rows in self.slices():
            yield rows.values()

    def invalid(self, what: str) -> FileInvalid:
        """Return the error for something wrong with this tensor."""
        return broken(
            self.path,
            f"tensor {self.name if self.name and is_text(self.name) else ascii(self.name)}: {what}",
            self.offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRows:
    """``count`` rows of a tensor, from row ``start`` on."""

    tensor: Tensor
    start: int
    count: int

    @property
    def offset(self) -> int:
        """The byte of the file at which the rows begin, unless the tensor has strides."""
        return self.tensor.offset + stored_bytes(self.tensor.kind, self.start * self.tensor.row)

    def raw(self) -> Bytes:
        """Return the stored bytes. Raises FileInvalid if the file is too short."""
        kind, row = self.tensor.kind, self.tensor.row
        return self.tensor.raw(stored_bytes(kind, self.start * row), stored_bytes(kind, self.count * row))

    def values(self) -> NDArray[np.floating]:
        """Return the values, [count, row], as ``decoded`` does."""
        return decoded(self.raw(), self.tensor.kind).reshape(self.count, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file's tensors in the file's order, and its metadata. The data stay in the file."""

    path: Path
    container: str
    tensors: Mapping[str, Tensor]
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, tensor in self.tensors.items():
            if not name.strip(".") or "\0" in name or not is_text(name):
                raise tensor.invalid("a tensor cannot have this name")
            # numpy has no longer axes, even if another axis has length 0.
            if math.prod(n or 1 for n in tensor.shape) >= 1 << 59:
                raise tensor.invalid(f"its shape is {list(tensor.shape)}")


def is_text(name: str) -> bool:
    """Return whether UTF-8 can encode a name. It cannot encode lone surrogates, which JSON allows."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def stored_bytes(kind: str, size: int) -> int:
    """Return how many bytes ``size`` elements of a type take."""
    block, width = SIZES[kind]
    return size // block * width


def kind_of(array: NDArray[np.generic]) -> str:
    """Return the type of an array's elements, such as "BF16" for ml_dtypes.bfloat16."""
    return _KINDS[array.dtype]


def decoded(raw: Bytes, kind: str) -> NDArray[np.floating]:
    """Return the values of stored bytes, one-dimensional: float32, or float64 where float32 would round them.

    The gguf package decodes blocks as ggml's reference does. Raises TypeUnavailable for a type that it cannot decode.
    """
    if kind in NUMPY:
        wide = kind in ("F64", "I64", "I32", "U32", "U64")
        return raw.view(NUMPY[kind]).astype(np.float64 if wide else np.float32, copy=False)
    block, width = SIZES[kind]
    values = np.empty(raw.size // width * block, np.float32)
    # The package decodes 16 rows at a time, and a block decodes alike in any row. So a few long rows are faster.
    step = max(1, DECODED // block)
    try:
        for start in range(0, raw.size // width, step):
            piece = raw[start * width : (start + step) * width]
            values[start * block :][: piece.size // width * block] = quants.dequantize(
                piece.reshape(1, -1), _TYPES[kind]
            )
    except NotImplementedError as error:
        raise TypeUnavailable(
            "the gguf package cannot decode a type", kind, "install a newer version of the package gguf"
        ) from error
    return values


def broken(path: Path, what: str, offset: int) -> FileInvalid:
    """Return the error for a file that is damaged at a byte."""
    return FileInvalid(f"{what}, at byte {offset}", path, "fetch or convert the file again")


def cut_off(path: Path, why: str) -> FileInvalid:
    """Return the error for a file that ends too early."""
    return FileInvalid(f"the file is cut off: {why}", path, "the download or the copy stopped; repeat it")


_TYPES = {t.name: t for t in gguf.GGML_QUANT_SIZES}
