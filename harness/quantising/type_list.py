"""The quantised types that a loaded library can make."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

from harness.child_process.ended import ChildEnded
from harness.child_process.fork import in_fork
from harness.quantising.type_info import TypeInfo
from sdcpp.binding import ggml
from sdcpp.binding.build_folder import Build

#: Types that ggml_quantize_chunk is known to make (ggml.c, 2025-12 to 2026-08). Other types are tried in a fork,
#: because ggml aborts when it is asked for a type that exists only inside matrix products.
KNOWN = frozenset(
    (
        *("Q1_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4", "NVFP4"),
        *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0"),
        *("IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ3_S", "IQ2_S", "IQ1_S", "IQ1_M", "IQ4_NL", "IQ4_XS"),
    )
)
#: More than the numbers of all types that ggml has had.
MOST_TYPES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlLibrary:
    """A loaded library of which only functions of ggml are called."""

    handle: ctypes.CDLL
    name: str


def list_types(build: Build, library: GgmlLibrary) -> tuple[TypeInfo, ...]:
    """Return the quantised types that the library can make, with upper-case names; raises LibraryUnusable."""
    found = []
    for number in range(min(MOST_TYPES, build.read_table()["enumerators"]["SD_TYPE_COUNT"])):
        kind = ggml.tensor_type(library, number)
        info = TypeInfo(
            name=kind.name.upper(),
            number=number,
            block=kind.block_size,
            bytes=kind.type_size,
            needs_imatrix=kind.needs_imatrix,
        )
        if not kind.quantised or info.block < 1 or not info.bytes:
            continue
        if info.name in KNOWN or _can_make(library, info):
            found.append(info)
    return tuple(found)


def _can_make(library: GgmlLibrary, info: TypeInfo) -> bool:
    """Return whether a fork of this process survives making one block; False where the system does not fork."""
    if not hasattr(os, "fork"):
        return False

    def work() -> bytes:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _make_block(library, info)
        return b""

    try:
        in_fork(work)
    except ChildEnded:
        return False
    return True


def _make_block(library: GgmlLibrary, info: TypeInfo) -> None:
    source, target = (ctypes.c_float * info.block)(*range(info.block)), (ctypes.c_char * (2 * info.bytes))()
    ones = (ctypes.c_float * info.block)(*[1.0] * info.block)
    ggml.quantise_rows(
        library,
        info.number,
        source=ctypes.addressof(source),
        target=ctypes.addressof(target),
        rows=1,
        columns=info.block,
        importance=ctypes.addressof(ones),
    )
