"""What every quantiser can do: ``LibraryQuantiser`` and ``PackageQuantiser`` are the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.formats.tensor import Bytes, Tensor, TensorRows
from harness.quantising.type_info import TypeInfo

#: Takes a tensor, the name of a type, and the offset in a file at which its blocks begin.
Take = Callable[[Tensor, str, int], None]


class RowsNotFinite(Exception):
    """A piece of a tensor that was to be quantised holds NaN or infinity, or cannot be read."""

    def __init__(self, piece: TensorRows) -> None:
        super().__init__(piece.tensor.name)
        self.piece = piece


class Quantiser(Protocol):
    """Converts rows of floats into blocks of a quantised type and back."""

    def begin(self) -> None:
        """Start what takes long, without waiting for it, while the caller does something else."""

    def types(self) -> Mapping[str, TypeInfo]:
        """Return the types that it can make, by name ("Q8_0", "IQ2_XXS")."""

    def info(self, name: str) -> TypeInfo:
        """Return one type; raises TypeUnavailable."""

    def quantise(
        self, values: NDArray[np.floating], name: str, importance: NDArray[np.floating] | None = None
    ) -> Bytes:
        """Return float values [rows, row] as blocks, uint8 [rows, bytes of a row].

        ``importance`` [row] weights the columns if the type can use that. Raises TypeUnavailable if it cannot make the
        type, or if the rows are not whole blocks.
        """

    def nearest(self, values: NDArray[np.floating], name: str) -> Bytes:
        """Return float values [rows, row] as the blocks nearest to them, of all roundings that it can do."""

    def nearest_with_values(
        self, values: NDArray[np.floating], name: str
    ) -> tuple[Bytes, NDArray[np.float32]]:
        """Return what ``nearest`` returns, and the values [rows, row] of these blocks."""

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values [rows, row] of blocks [rows, bytes of a row]."""

    def into(self, target: Path) -> AbstractContextManager[Take]:
        """Return a context manager that yields a function to write tensors, as ``nearest`` blocks, into a file.

        All blocks are written at the end of the ``with`` block; until then nobody else may change those bytes. Raises
        RowsNotFinite, and OSError if the file cannot be written.
        """
