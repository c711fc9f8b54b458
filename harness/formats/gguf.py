"""The GGUF container, through the gguf package.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. An adapter's file is mixed: a matrix is
quantised only if its rows are a whole number of blocks; scalars and the rest stay float.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
from gguf import quants
from numpy.typing import NDArray

from sdcpp.errors import FileInvalid

Type = gguf.GGMLQuantizationType


def write(
    path: Path,
    tensors: Mapping[str, NDArray[np.float32]],
    kind: str,
    types: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write float32 tensors as GGUF of type ``kind`` ("F32", "BF16", "Q8_0" ...).

    Tensors of fewer than two dimensions stay F32; a matrix whose rows do not divide into blocks is F16. ``types`` has
    another type for some tensors, by name.
    Raises FileInvalid for a type that gguf cannot make.
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
            try:
                writer.add_tensor(name, quants.quantize(array, used), raw_dtype=used)
            except NotImplementedError as error:
                raise FileInvalid(
                    "gguf cannot quantise to this type", kind, "choose a type that it can make"
                ) from error
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
