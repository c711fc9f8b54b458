"""The few functions of ggml itself that the shared library exports, declared by hand.

ggml's own headers are not read: these functions have kept their C signatures for as long as they exist,
and no struct crosses here.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import Any, Protocol

from sdcpp.errors import LibraryUnusable

_P, _S, _I, _Z, _L = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_int64
#: The number of GGML_TYPE_F16.
_F16 = 1
#: name: (result, arguments)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_dev_count": (_Z, []),
    "ggml_backend_dev_get": (_P, [_Z]),
    "ggml_backend_dev_name": (_S, [_P]),
    "ggml_backend_dev_description": (_S, [_P]),
    "ggml_backend_dev_type": (_I, [_P]),
    "ggml_backend_dev_backend_reg": (_P, [_P]),
    "ggml_backend_reg_name": (_S, [_P]),
    "ggml_type_name": (_S, [_I]),
    "ggml_blck_size": (_L, [_I]),
    "ggml_type_size": (_Z, [_I]),
    "ggml_is_quantized": (ctypes.c_bool, [_I]),
    "ggml_quantize_requires_imatrix": (ctypes.c_bool, [_I]),
    "ggml_quantize_chunk": (_Z, [_I, _P, _P, _L, _L, _L, _P]),
    "ggml_get_type_traits": (_P, [_I]),
    "ggml_cpu_init": (None, []),
    "ggml_cpu_fp16_to_fp32": (None, [_P, _P, _L]),
}


class Loaded(Protocol):
    """A library in this process, such as ``sdcpp.binding.library.Library``."""

    @property
    def handle(self) -> ctypes.CDLL: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlDevice:
    """A device as ggml reports it.

    ``name`` is such as ``CPU``, ``CUDA0``, ``Vulkan0``; ``registry`` names the backend it belongs to;
    ``kind`` is ``cpu``, ``gpu``, ``igpu`` or ``accel``.
    """

    name: str
    description: str
    kind: str
    registry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """A ggml tensor type: elements and bytes in one block."""

    name: str
    block_size: int
    type_size: int
    quantised: bool
    needs_imatrix: bool


def _function(library: Loaded, name: str) -> Any:
    try:
        symbol = library.handle[name]
    except AttributeError as error:
        raise LibraryUnusable(
            f"ggml function {name} is not exported", library.name, "use a newer revision"
        ) from error
    symbol.restype, symbol.argtypes = _FUNCTIONS[name]
    return symbol


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def devices(library: Loaded) -> tuple[GgmlDevice, ...]:
    """Return the devices that ggml sees, in its order; none for revisions that cannot be asked."""
    try:
        count = _function(library, "ggml_backend_dev_count")()
    except LibraryUnusable:
        return ()
    found: list[GgmlDevice] = []
    for index in range(count):
        device = _function(library, "ggml_backend_dev_get")(index)
        registry = _function(library, "ggml_backend_dev_backend_reg")(device)
        family = _text(_function(library, "ggml_backend_reg_name")(registry))
        # The number 2 was "accelerator" until integrated GPUs got a kind of their own, with that number.
        second = "accel" if family in ("BLAS", "AMX", "ACCEL") else "igpu"
        number = _function(library, "ggml_backend_dev_type")(device)
        found.append(
            GgmlDevice(
                name=_text(_function(library, "ggml_backend_dev_name")(device)),
                description=_text(_function(library, "ggml_backend_dev_description")(device)),
                kind={0: "cpu", 1: "gpu", 2: second}.get(number, "accel"),
                registry=family,
            )
        )
    return tuple(found)


def tensor_type(library: Loaded, number: int) -> TensorType:
    """Return what the library knows of a type, given its number (``SD_TYPE_…`` of the header)."""
    return TensorType(
        name=_text(_function(library, "ggml_type_name")(number)),
        block_size=_function(library, "ggml_blck_size")(number),
        type_size=_function(library, "ggml_type_size")(number),
        quantised=_function(library, "ggml_is_quantized")(number),
        needs_imatrix=_function(library, "ggml_quantize_requires_imatrix")(number),
    )


def quantise_rows(
    library: Loaded,
    number: int,
    *,
    source: int,
    target: int,
    rows: int,
    row: int,
    importance: int | None,
) -> None:
    """Quantise ``rows`` rows of ``row`` float32 values at address ``source`` into blocks at ``target``.

    ``importance`` is the address of ``row`` float32 weights, one for each column, or None. The library checks
    nothing but asserts, so this is for a process that may die.
    """
    _function(library, "ggml_quantize_chunk")(number, source, target, 0, rows, row, importance)


class _Traits(ctypes.Structure):
    """ggml_type_traits as ggml.h has it since 2024-11; ``decoder`` checks it before anything is called."""

    _fields_ = (
        ("name", _S),
        ("block", _L),
        ("interleave", _L),
        ("size", _Z),
        ("quantised", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, _P, _P, _L)),
    )


def decoder(library: Loaded, number: int) -> Any:
    """Return the library's own C function (blocks, float32 values, count) that decodes a type.

    Raises LibraryUnusable where the table that holds it is laid out in another way or has none for the type.
    """
    if number == _F16:
        # The table's is made for any processor of its kind; this one gives the same values four times as fast.
        with contextlib.suppress(LibraryUnusable):
            quick = _function(library, "ggml_cpu_fp16_to_fp32")
            _function(library, "ggml_cpu_init")()
            return quick
    address = _function(library, "ggml_get_type_traits")(number)
    traits, kind = ctypes.cast(address, ctypes.POINTER(_Traits)).contents, tensor_type(library, number)
    found = (traits.block, traits.size, traits.quantised)
    if found != (kind.block_size, kind.type_size, kind.quantised) or not traits.to_float:
        raise LibraryUnusable("ggml exports no decoder of a type", kind.name, "use the gguf package")
    return traits.to_float
