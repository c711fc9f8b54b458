"""Quantise with the gguf package, which knows few types, and choose between it and a built library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
from gguf import quants
from numpy.typing import NDArray

from harness.formats.tensor import DECODED, Bytes, Tensor, decoded
from harness.quantising.finite import finite
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.quantising.quantiser import Quantiser, RowsNotFinite, Take
from harness.quantising.type_info import TypeInfo
from sdcpp.building.finished import newest_build
from sdcpp.errors import TypeUnavailable


class PackageQuantiser:
    """The quantisers of the gguf package: slow, for few types, and bit-identical to ggml's reference."""

    NAMES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")

    def begin(self) -> None:
        """Do nothing: there is nothing to wait for."""

    def types(self) -> Mapping[str, TypeInfo]:
        """Return the types that the package can make."""
        sizes = {name: gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] for name in self.NAMES}
        return {
            name: TypeInfo(
                name=name,
                number=int(gguf.GGMLQuantizationType[name]),
                block=block,
                bytes=size,
                needs_imatrix=False,
            )
            for name, (block, size) in sizes.items()
        }

    def info(self, name: str) -> TypeInfo:
        """Return one type; raises TypeUnavailable."""
        try:
            return self.types()[name]
        except KeyError:
            raise TypeUnavailable(
                "only a built library can make this type",
                name,
                f"run sdcpp build first, or choose one of {', '.join(self.NAMES)}",
            ) from None

    def quantise(
        self,
        values: NDArray[np.floating],
        name: str,
        importance: NDArray[np.floating] | None = None,  # noqa: ARG002 - no type here can use it
    ) -> Bytes:
        """Return rows of values as blocks. Raises TypeUnavailable if they are not whole blocks."""
        info = self.info(name)
        rows, row = values.shape
        if row % info.block:
            raise TypeUnavailable(
                f"rows of {row} are not whole blocks of {info.block}", name, "choose another type"
            )
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        blocks = np.empty(flat.size // info.block * info.bytes, np.uint8)
        # The package works on 16 rows at a time, and a block is the same in any row. So a few long rows are faster.
        for start in range(0, flat.size, DECODED):
            piece = flat[start : start + DECODED].reshape(1, -1)
            made = quants.quantize(piece, gguf.GGMLQuantizationType[name]).reshape(-1)
            at = start // info.block * info.bytes
            blocks[at : at + made.size] = made
        return blocks.reshape(rows, -1)

    def nearest(self, values: NDArray[np.floating], name: str) -> Bytes:
        """Return rows of values as blocks; the package has one rounding only."""
        return self.quantise(values, name)

    def nearest_with_values(
        self, values: NDArray[np.floating], name: str
    ) -> tuple[Bytes, NDArray[np.float32]]:
        """Return what ``nearest`` returns, and the values of these blocks."""
        blocks = self.nearest(values, name)
        return blocks, self.dequantise(blocks, name)

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values of rows of blocks."""
        found: NDArray[np.float32] = decoded(blocks.reshape(-1), name).reshape(len(blocks), -1)
        return found

    @contextmanager
    def into(self, target: Path) -> Iterator[Take]:
        """Yield a function that writes tensors, as blocks, into the file ``target``; raises RowsNotFinite."""

        def take(tensor: Tensor, name: str, at: int) -> None:
            with target.open("r+b") as file:
                file.seek(at)
                for piece in tensor.slices():
                    values = piece.values()
                    if not finite(values):
                        raise RowsNotFinite(piece)
                    file.write(self.quantise(values, name).data)

        yield take


@contextmanager
def open_quantiser(folder: Path | None = None) -> Iterator[Quantiser]:
    """Yield the library in the build ``folder``, else the cache's newest build, else the gguf package."""
    folder = folder or newest_build()
    if folder is None:
        yield PackageQuantiser()
    else:
        with LibraryQuantiser(folder) as quantiser:
            yield quantiser
