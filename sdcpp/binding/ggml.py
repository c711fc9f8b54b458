"""Call functions of ggml that the shared library exports. Their signatures are written by hand.

ggml's headers are not parsed: the signatures of these functions have never changed, and none takes or returns a struct
by value.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import Any, Protocol

from sdcpp.errors import LibraryUnusable

_P, _S, _I, _Z, _L = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_int64
#: The value of GGML_TYPE_F16.
_F16 = 1
#: The result type and the argument types of each function.
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


class LoadedLibrary(Protocol):
    """A library in this process, such as ``sdcpp.binding.library.Library``. ``name`` is its path."""

    @property
    def handle(self) -> ctypes.CDLL: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlDevice:
    """A device as ggml lists it.

    Examples of ``name`` are ``CPU``, ``CUDA0`` and ``Vulkan0``. ``registry`` is ggml's name of the backend.
    ``kind`` is ``cpu``, ``gpu``, ``igpu`` or ``accel``.
    """

    name: str
    description: str
    kind: str
    registry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """A ggml tensor type. A block has ``block_size`` elements and ``type_size`` bytes."""

    name: str
    block_size: int
    type_size: int
    quantised: bool
    needs_imatrix: bool


def _function(library: LoadedLibrary, name: str) -> Any:
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


def devices(library: LoadedLibrary) -> tuple[GgmlDevice, ...]:
    """Return the devices that ggml lists, in its order; none if the revision's ggml has no functions to list them."""
    try:
        count = _function(library, "ggml_backend_dev_count")()
    except LibraryUnusable:
        return ()
    listed: list[GgmlDevice] = []
    for index in range(count):
        device = _function(library, "ggml_backend_dev_get")(index)
        registry = _function(library, "ggml_backend_dev_backend_reg")(device)
        registry_name = _text(_function(library, "ggml_backend_reg_name")(registry))
        # The value 2 meant an accelerator in older revisions and means an integrated GPU in newer ones.
        kind_of_2 = "accel" if registry_name in ("BLAS", "AMX", "ACCEL") else "igpu"
        number = _function(library, "ggml_backend_dev_type")(device)
        listed.append(
            GgmlDevice(
                name=_text(_function(library, "ggml_backend_dev_name")(device)),
                description=_text(_function(library, "ggml_backend_dev_description")(device)),
                kind={0: "cpu", 1: "gpu", 2: kind_of_2}.get(number, "accel"),
                registry=registry_name,
            )
        )
    return tuple(listed)


def tensor_type(library: LoadedLibrary, number: int) -> TensorType:
    """Return a tensor type by its number, an enumerator ``SD_TYPE_…`` of the header; raises LibraryUnusable."""
    return TensorType(
        name=_text(_function(library, "ggml_type_name")(number)),
        block_size=_function(library, "ggml_blck_size")(number),
        type_size=_function(library, "ggml_type_size")(number),
        quantised=_function(library, "ggml_is_quantized")(number),
        needs_imatrix=_function(library, "ggml_quantize_requires_imatrix")(number),
    )


def quantise_rows(
    library: LoadedLibrary,
    number: int,
    *,
    source: int,
    target: int,
    rows: int,
    columns: int,
    importance: int | None,
) -> None:
    """Quantise rows of float32 values at the address ``source``, and write the blocks to the address ``target``.

    Each of the ``rows`` rows has ``columns`` values. ``importance`` is None or the address of ``columns`` float32
    weights. For invalid arguments ggml ends the process instead of returning an error, so call this in a child process.
    """
    _function(library, "ggml_quantize_chunk")(number, source, target, 0, rows, columns, importance)


class _Traits(ctypes.Structure):
    """The struct ggml_type_traits of ggml.h since 2024-11. ``decoder`` checks that a library has this layout."""

    _fields_ = (
        ("name", _S),
        ("block", _L),
        ("interleave", _L),
        ("size", _Z),
        ("quantised", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, _P, _P, _L)),
    )


def decoder(library: LoadedLibrary, number: int) -> Any:
    """Return ggml's C function that decodes blocks of a type to float32 values.

    Its arguments are the address of the blocks, the address of the values, and the number of values. Raises
    LibraryUnusable if the library has no such function for the type, or if its ggml_type_traits has another layout.
    """
    if number == _F16:
        # Returns the same values as the function in ggml_type_traits in a quarter of the time, because it uses all
        # instructions of this processor.
        with contextlib.suppress(LibraryUnusable):
            convert = _function(library, "ggml_cpu_fp16_to_fp32")
            _function(library, "ggml_cpu_init")()
            return convert
    address = _function(library, "ggml_get_type_traits")(number)
    traits, kind = ctypes.cast(address, ctypes.POINTER(_Traits)).contents, tensor_type(library, number)
    read = (traits.block, traits.size, traits.quantised)
    if read != (kind.block_size, kind.type_size, kind.quantised) or not traits.to_float:
        raise LibraryUnusable("ggml exports no decoder of a type", kind.name, "use the gguf package")
    return traits.to_float
