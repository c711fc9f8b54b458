"""Who makes the blocks: the built library where there is one, the gguf package for the few types it knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import gguf
import numpy as np
from gguf import quants
from numpy.typing import NDArray

from harness.formats.tensor import Bytes
from harness.quantiser import Quantiser, TypeInfo, newest_build
from sdcpp.errors import TypeUnavailable


class Maker(Protocol):
    """What quantises; ``harness.quantiser.Quantiser`` says what the methods do."""

    def types(self) -> Mapping[str, TypeInfo]: ...  # noqa: D102

    def info(self, name: str) -> TypeInfo: ...  # noqa: D102

    def quantise(  # noqa: D102
        self, values: NDArray[np.floating], name: str, importance: NDArray[np.floating] | None = None
    ) -> Bytes: ...

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]: ...  # noqa: D102


class Reference:
    """The gguf package's quantisers: slow, few, and equal to ggml's reference to the bit."""

    NAMES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")

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
                "without a built library this type cannot be made",
                name,
                f"run sdcpp build first, or choose one of {', '.join(self.NAMES)}",
            ) from None

    def quantise(
        self,
        values: NDArray[np.floating],
        name: str,
        importance: NDArray[np.floating] | None = None,  # noqa: ARG002 - no type here can make use of it
    ) -> Bytes:
        """Return rows of values as blocks."""
        self.info(name)
        found: Bytes = quants.quantize(values.astype(np.float32), gguf.GGMLQuantizationType[name])
        return found

    def dequantise(self, blocks: Bytes, name: str) -> NDArray[np.float32]:
        """Return the values of rows of blocks."""
        found: NDArray[np.float32] = quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
        return found


def best(made: Maker, values: NDArray[np.floating], name: str) -> Bytes:
    """Return rows of values as the blocks that are nearest to them, of the two that ggml makes.

    Told that all columns matter alike, ggml searches for the scale of a block; told nothing, it takes the largest
    value's or weighs by the values themselves. Which is better differs from row to row; a row costs the same
    bytes either way.
    """
    plain = made.quantise(values, name)
    if isinstance(made, Reference) or name in _ONE_WAY or made.info(name).needs_imatrix:
        return plain
    searched = made.quantise(values, name, np.ones(values.shape[1], np.float32))
    errors = [np.square(made.dequantise(raw, name) - values).sum(axis=1) for raw in (plain, searched)]
    return np.where((errors[0] <= errors[1])[:, None], plain, searched)


#: Types for which ggml has one way only.
_ONE_WAY = frozenset({"Q8_0", "Q1_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"})


@contextmanager
def maker(folder: Path | None = None) -> Iterator[Maker]:
    """Yield the library in the build ``folder``, else the cache's newest build, else the gguf package."""
    folder = folder or newest_build()
    if folder is None:
        yield Reference()
    else:
        with Quantiser(folder) as quantiser:
            yield quantiser
