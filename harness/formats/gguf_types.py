"""Write and read GGUF files of adapters with the gguf package.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The types in a file are mixed: a matrix is quantised
only if its rows are whole numbers of blocks. Scalars and other tensors stay float.
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

from sdcpp.errors import FileInvalid, TypeUnavailable

Type = gguf.GGMLQuantizationType
#: Returns the blocks, uint8 [rows, bytes of a row], of values, float32 [rows, row], in the type of a name.
Quantise = Callable[[NDArray[np.float32], str], NDArray[np.uint8]]
#: Returns the values, float32 [rows, row], of blocks, uint8 [rows, bytes of a row], in the type of a name.
Dequantise = Callable[[NDArray[np.uint8], str], NDArray[np.float32]]


def write(
    path: Path,
    tensors: Mapping[str, NDArray[np.float32]],
    kind: str,
    types: Mapping[str, str] = MappingProxyType({}),
    quantise: Quantise | None = None,
) -> None:
    """Write float32 tensors as a GGUF file of type ``kind``, such as "F32", "BF16" or "Q8_0".

    Tensors of fewer than two dimensions stay F32. A matrix whose rows are not whole numbers of blocks becomes F16.
    ``types`` names another type for some tensors. ``quantise`` is used for types that the package cannot make.

    Raises FileInvalid for such a type if there is no ``quantise``.
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
    """Return a tensor as blocks, uint8. The last axis counts bytes."""
    try:
        return np.asarray(quants.quantize(array, used))
    except NotImplementedError as error:
        if quantise is None:
            raise FileInvalid(
                "the gguf package cannot quantise to a type", used.name, "choose another type"
            ) from error
    return quantise(array.reshape(-1, array.shape[-1]), used.name).reshape(*array.shape[:-1], -1)


def _type_for(array: NDArray[np.float32], wanted: Any) -> Any:
    """Return the GGMLQuantizationType of a tensor in a file of type ``wanted``."""
    if array.ndim < 2:
        return Type.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if array.shape[-1] % block == 0 else Type.F16


def can_write(kind: str) -> bool:
    """Return whether the gguf package can write a type to a file, if the blocks are given."""
    return kind in Type.__members__


def can_read(kind: str) -> bool:
    """Return whether the gguf package can dequantise a type."""
    if not can_write(kind):
        return False
    try:
        quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[Type[kind]][1]), np.uint8), Type[kind])
    except NotImplementedError:
        return False
    return True


def read(path: Path, dequantise: Dequantise | None = None) -> dict[str, NDArray[np.float32]]:
    """Return a file's tensors as float32, dequantised by the gguf package, in PyTorch's order.

    ``dequantise`` is used for types that the package cannot dequantise. Raises TypeUnavailable for such a type if there
    is no ``dequantise``.
    """
    tensors: dict[str, NDArray[np.float32]] = {}
    for tensor in gguf.GGUFReader(path).tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        tensors[tensor.name] = (
            _values(tensor.data, tensor.tensor_type, dequantise).reshape(shape).astype(np.float32)
        )
    return tensors


def _values(data: NDArray[Any], used: Any, dequantise: Dequantise | None) -> NDArray[np.float32]:
    """Return the values of a tensor's data."""
    try:
        return np.asarray(quants.dequantize(data, used))
    except NotImplementedError as error:
        if dequantise is None:
            raise TypeUnavailable(
                "the gguf package cannot decode a type", used.name, "choose another type"
            ) from error
    return dequantise(data.reshape(-1, data.shape[-1]), used.name)
