"""One tensor of a file and the file around it: what the three containers have in common."""

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
#: Elements and bytes of one block by type: ggml's as the gguf package lists them, and those of safetensors.
SIZES: dict[str, tuple[int, int]] = {t.name: size for t, size in gguf.GGML_QUANT_SIZES.items()} | {
    "F8_E4M3": (1, 1),
    "F8_E5M2": (1, 1),
    "BOOL": (1, 1),
    "U8": (1, 1),
    "U16": (1, 2),
    "U32": (1, 4),
    "U64": (1, 8),
}
#: Types whose elements are stored one by one, as arrays of numpy; ml_dtypes adds those floats that numpy lacks.
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
#: Types whose values are floating point numbers, each stored by itself.
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
#: Types that safetensors has.
SAFETENSORS = frozenset(NUMPY)
#: Bytes of decoded values to hold at a time.
PIECE = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """A value of a file's metadata with its GGUF type: "STRING", "UINT32", "ARRAY:STRING" ..."""

    type: str
    value: object


Metadata = Mapping[str, TensorHeader]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor in a file: ``shape`` in PyTorch's order, ``kind`` its stored type, ``offset`` where it lies.

    ``strides`` (in elements) is set only for tensors of a ckpt that are not stored row by row.
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
        """The number of elements in a row, which is what is cut into blocks."""
        return self.shape[-1] if self.shape else 1

    @property
    def nbytes(self) -> int:
        """The number of bytes stored."""
        return stored_bytes(self.kind, self.size)

    def raw(self, start: int = 0, count: int | None = None) -> Bytes:
        """Return ``count`` stored bytes from ``start`` on; raises FileInvalid if the file ends before."""
        if self.strides is not None:
            return self._gathered()[start : None if count is None else start + count]
        count = self.nbytes - start if count is None else count
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + start)
                data = np.fromfile(file, np.uint8, count)
        except OSError as error:
            raise FileInvalid(
                f"cannot be read ({error.strerror})", self.path, "is it still there?"
            ) from error
        if data.size != count:
            raise self.invalid("the file ends inside it")
        return data

    def _gathered(self) -> Bytes:
        assert self.strides is not None  # noqa: S101 - the caller has looked
        reach = (
            1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) if self.size else 0
        )
        width = SIZES[self.kind][1]
        flat = Tensor(name=self.name, shape=(reach,), kind=self.kind, path=self.path, offset=self.offset)
        items = flat.raw().view(f"V{width}")
        view = np.lib.stride_tricks.as_strided(items, self.shape, [s * width for s in self.strides])
        return np.ascontiguousarray(view).reshape(-1).view(np.uint8)

    def values(self) -> NDArray[np.floating]:
        """Return the values: float32, or float64 for types that float32 cannot hold."""
        return decoded(self.raw(), self.kind).reshape(self.shape)

    def slices(self) -> Iterator[TensorRows]:
        """Yield all rows in slices whose values take no more than PIECE bytes.

        Rows that are longer come singly; tensors that are gathered come as one.
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
        """Yield the values, [rows, row], in ``slices``."""
        for rows in self.slices():
            yield rows.values()

    def invalid(self, what: str) -> FileInvalid:
        """Return the error that says what is wrong with this tensor."""
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
        """Where they lie in the file, unless the tensor has strides."""
        return self.tensor.offset + stored_bytes(self.tensor.kind, self.start * self.tensor.row)

    def raw(self) -> Bytes:
        """Return the stored bytes; raises FileInvalid if the file ends before."""
        kind, row = self.tensor.kind, self.tensor.row
        return self.tensor.raw(stored_bytes(kind, self.start * row), stored_bytes(kind, self.count * row))

    def values(self) -> NDArray[np.floating]:
        """Return the values [count, row] as ``decoded`` does."""
        return decoded(self.raw(), self.tensor.kind).reshape(self.count, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file's tensors in the order in which it lists them, and its metadata. No data is held."""

    path: Path
    container: str
    tensors: Mapping[str, Tensor]
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, tensor in self.tensors.items():
            if not name.strip(".") or "\0" in name or not is_text(name):
                raise tensor.invalid("is not a name that a tensor can have")


def is_text(name: str) -> bool:
    """Return whether a name can be written as UTF-8; JSON can smuggle in halves of characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def stored_bytes(kind: str, size: int) -> int:
    """Return how many bytes ``size`` elements of a type take."""
    block, width = SIZES[kind]
    return size // block * width


def kind_of(array: NDArray[np.generic]) -> str:
    """Return the type that stores an array's elements as they are ("BF16" for ml_dtypes.bfloat16)."""
    return _KINDS[array.dtype]


def decoded(raw: Bytes, kind: str) -> NDArray[np.floating]:
    """Return stored bytes as flat values: float32, or float64 where float32 would round.

    Blocks are decoded by the gguf package, which follows ggml's reference.
    """
    if kind in NUMPY:
        wide = kind in ("F64", "I64", "I32", "U32", "U64")
        return raw.view(NUMPY[kind]).astype(np.float64 if wide else np.float32, copy=False)
    try:
        found: NDArray[np.float32] = quants.dequantize(raw.reshape(-1, SIZES[kind][1]), _TYPES[kind])
    except NotImplementedError as error:
        raise TypeUnavailable("the gguf package cannot decode a type", kind, "update it") from error
    return found.reshape(-1).astype(np.float32, copy=False)


def broken(path: Path, what: str, offset: int) -> FileInvalid:
    """Return the error for a file that contradicts itself at a byte."""
    return FileInvalid(f"{what}, at byte {offset}", path, "fetch or convert the file again")


_TYPES = {t.name: t for t in gguf.GGML_QUANT_SIZES}
