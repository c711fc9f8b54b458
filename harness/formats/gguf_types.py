"""The GGUF container, through the gguf package.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. An adapter's file is mixed: a matrix is
quantised only if its rows are a whole number of blocks; scalars and the rest stay float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
from gguf import quants
from numpy.typing import NDArray

from sdcpp.errors import FileInvalid

Type = gguf.GGMLQuantizationType
#: Makes blocks, uint8 [rows, bytes of a row], of float32 [rows, row] for a type given by its name.
Quantise = Callable[[NDArray[np.float32], str], NDArray[np.uint8]]


def write(
    path: Path,
    tensors: Mapping[str, NDArray[np.float32]],
    kind: str,
    types: Mapping[str, str] = MappingProxyType({}),
    quantise: Quantise | None = None,
) -> None:
    """Write float32 tensors as GGUF of type ``kind`` ("F32", "BF16", "Q8_0" ...).

    Tensors of fewer than two dimensions stay F32; a matrix whose rows do not divide into blocks is F16. ``types`` has
    another type for some tensors, by name. ``quantise`` makes the blocks of types that the package cannot make; without
    it such a type raises FileInvalid.
    """
    wanted = Type[kind]
    writer = gguf.GGUFWriter(path, arch="lora")
    for name, array in tensors.items():
        used = Type[types[name]] if name in types else _type_for(array, wanted)
        if used is Type.F32:
            writer.add_tensor(name, np.atleast_1d(array))
        elif used is Type.F16:
            writer.add_tensor(name, array.astype(np.float16))
        else:
            writer.add_tensor(name, _blocks(array, used, quantise), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _blocks(array: NDArray[np.float32], used: Any, quantise: Quantise | None) -> NDArray[np.uint8]:
    """Return a tensor as blocks of a type, uint8, the last axis counting bytes."""
    try:
        return np.asarray(quants.quantize(array, used))
    except NotImplementedError as error:
        if quantise is None:
            raise FileInvalid(
                "gguf cannot quantise to this type", used.name, "choose a type that it can make"
            ) from error
    return quantise(array.reshape(-1, array.shape[-1]), used.name).reshape(*array.shape[:-1], -1)


def _type_for(array: NDArray[np.float32], wanted: Any) -> Any:
    """Return the GGMLQuantizationType in which a tensor of a file of type ``wanted`` is stored."""
    if array.ndim < 2:
        return Type.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if array.shape[-1] % block == 0 else Type.F16


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return a file's tensors, dequantised by the gguf package to float32, in PyTorch's order."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for tensor in gguf.GGUFReader(path).tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        tensors[tensor.name] = (
            quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32)
        )
    return tensors
