"""Decide the type of each tensor in a converted file, and record the reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.converter.cast import IN_GGUF, is_float, overflows
from harness.formats.tensor import FLOATS, SIZES, Tensor, stored_bytes
from harness.quantising.type_info import TypeInfo
from harness.text import did_you_mean
from sdcpp.errors import TypeUnavailable

#: The float types that a user can choose with ``--type``.
PLAIN = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """A tensor, its type in the new file (``kind``), and the reason for that type.

    ``info`` is set if the tensor is quantised. ``padded`` is the new shape if the tensor is padded. ``unfilled`` is the
    first wanted type whose blocks the rows do not fill, if the tensor stays float for that reason.
    """

    tensor: Tensor
    kind: str
    why: str
    info: TypeInfo | None = None
    padded: tuple[int, ...] | None = None
    unfilled: TypeInfo | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor in the new file."""
        return self.tensor.shape if self.padded is None else self.padded

    @property
    def size(self) -> int:
        """The number of elements in the new file."""
        return math.prod(self.shape)

    @property
    def becomes_blocks(self) -> bool:
        """Whether the values must be quantised. Blocks of the same type are copied."""
        return self.info is not None and self.kind != self.tensor.kind

    @property
    def nbytes(self) -> int:
        """The number of bytes in the new file."""
        if self.info is not None:
            return self.size // self.info.block * self.info.bytes
        return stored_bytes(self.kind, self.size)


def plan(
    tensors: Sequence[Tensor],
    container: str,
    wanted: Sequence[str] = (),
    types: Mapping[str, TypeInfo] | None = None,
    chosen: Mapping[str, str] | None = None,
) -> list[TensorPlan]:
    """Return the plan of each tensor, in order.

    - ``wanted`` are types in order of preference. A tensor gets the first type whose block size divides its row length.
      Without ``wanted`` every tensor keeps its type.
    - ``types`` are the quantised types that can be made.
    - ``chosen`` maps names of tensors to types. These tensors do not use ``wanted``.

    Raises TypeUnavailable for a type that is not in ``types`` or that the container does not have.
    """
    types = types or {}
    names = [*wanted, *(chosen or {}).values()]
    require_types(names, types)
    for name in names:
        if name in types and container != "gguf":
            raise TypeUnavailable(
                f"a {container} file cannot have this type",
                name,
                "write a .gguf file, or choose a float type",
            )
    return [
        _plan_tensor(
            tensor, container, [chosen[tensor.name]] if chosen and tensor.name in chosen else wanted, types
        )
        for tensor in tensors
    ]


def require_types(names: Iterable[str], types: Mapping[str, TypeInfo]) -> None:
    """Raise TypeUnavailable for a name that is neither a float type nor one of the quantised ``types``."""
    for name in names:
        if name not in PLAIN and name not in types:
            raise TypeUnavailable(
                "the type is unknown, or no available quantiser can make it",
                name,
                f"choose one of {', '.join((*PLAIN, *types))}{did_you_mean(name, (*PLAIN, *types))}",
            )


def _plan_tensor(  # noqa: PLR0911 - one return for each rule
    tensor: Tensor, container: str, wanted: Sequence[str], types: Mapping[str, TypeInfo]
) -> TensorPlan:
    """Return the plan of a tensor. The order of the rules matters."""
    kept = _kept_type(tensor.kind, container)
    if not wanted:
        why = (
            "as stored"
            if kept == tensor.kind
            else f"{container} has no {tensor.kind}, so its values are stored as {kept}"
        )
        return TensorPlan(tensor=tensor, kind=kept, why=why)
    if not is_float(tensor.kind):
        return TensorPlan(tensor=tensor, kind=kept, why="integers are not converted")
    if tensor.size <= 1:
        return TensorPlan(
            tensor=tensor, kind=kept if kept in PLAIN else "F32", why="scalars are never quantised"
        )
    if wanted[0] in PLAIN:
        return _as_float(tensor, wanted[0], "as requested")
    if len(tensor.shape) < 2:
        return _not_quantised(tensor, kept, "vectors are never quantised")
    reasons: list[str] = []
    for name in wanted:
        if name in PLAIN:
            return _as_float(tensor, name, ", ".join(reasons), types[wanted[0]])
        if tensor.row % types[name].block == 0:
            return TensorPlan(tensor=tensor, kind=name, why="as requested", info=types[name])
        reasons.append(f"rows of {tensor.row} are not whole blocks of {types[name].block} ({name})")
    return _not_quantised(tensor, kept, ", ".join(reasons), types[wanted[0]])


def _kept_type(kind: str, container: str) -> str:
    """Return a type that has all values of ``kind`` and that the container has: ``kind`` itself if possible."""
    if container == "gguf":
        return IN_GGUF.get(kind, kind)
    return "F32" if kind not in FLOATS and SIZES[kind][0] > 1 else kind


def _as_float(tensor: Tensor, kind: str, why: str, unfilled: TypeInfo | None = None) -> TensorPlan:
    """Return the plan of a tensor that becomes ``kind``, or F32 if its values are beyond the range of F16."""
    if kind == "F16" and overflows(tensor):
        return TensorPlan(tensor=tensor, kind="F32", why="values beyond the range of F16")
    return TensorPlan(tensor=tensor, kind=kind, why=why, unfilled=unfilled)


def _not_quantised(tensor: Tensor, kept: str, why: str, unfilled: TypeInfo | None = None) -> TensorPlan:
    """Return the plan of a tensor that is not quantised: F16 in place of F64 and F32 if its values allow it."""
    if kept not in ("F64", "F32"):
        return TensorPlan(tensor=tensor, kind=kept, why=why, unfilled=unfilled)
    kind = "F32" if overflows(tensor) else "F16"
    return TensorPlan(tensor=tensor, kind=kind, why=why, unfilled=unfilled)
