"""What becomes of each tensor of a file: the rules of mixed files, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.converter.cast import IN_GGUF, is_float, overflows
from harness.formats.tensor import FLOATS, SIZES, Tensor, stored_bytes
from harness.quantising.type_info import TypeInfo
from sdcpp.errors import TypeUnavailable

#: Float types that ``--type`` may name.
PLAIN = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """A tensor, the type it will have, and why; ``info`` is set where it is quantised.

    ``padded`` is its new shape if that is another one.
    """

    tensor: Tensor
    kind: str
    why: str
    info: TypeInfo | None = None
    padded: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the new file."""
        return self.tensor.shape if self.padded is None else self.padded

    @property
    def size(self) -> int:
        """The number of elements in the new file."""
        return math.prod(self.shape)

    @property
    def becomes_blocks(self) -> bool:
        """Whether values have to be quantised: blocks of the same type are copied."""
        return self.info is not None and self.kind != self.tensor.kind

    @property
    def nbytes(self) -> int:
        """Bytes in the new file."""
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
    """Return the plan of every tensor.

    ``wanted`` are types in order of preference: a tensor gets the first whose blocks its rows fill. None means
    that types stay as they are. ``chosen`` names the type of single tensors and goes before ``wanted``.
    Raises TypeUnavailable for types that ``types`` or the container does not have.
    """
    types = types or {}
    names = [*wanted, *(chosen or {}).values()]
    require_types(names, types)
    for name in names:
        if name in types and container != "gguf":
            raise TypeUnavailable(
                f"a {container} file cannot hold a type", name, "write a .gguf, or a float type"
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
                "a type that is unknown or cannot be made",
                name,
                f"choose one of {', '.join((*PLAIN, *types))}",
            )


def _plan_tensor(  # noqa: PLR0911 - one return a rule
    tensor: Tensor, container: str, wanted: Sequence[str], types: Mapping[str, TypeInfo]
) -> TensorPlan:
    held = _held(tensor.kind, container)
    if not wanted:
        why = (
            "as stored"
            if held == tensor.kind
            else f"{container} has no {tensor.kind}; {held} holds its values"
        )
        return TensorPlan(tensor=tensor, kind=held, why=why)
    if not is_float(tensor.kind):
        return TensorPlan(tensor=tensor, kind=held, why="whole numbers stay")
    if tensor.size <= 1:
        return TensorPlan(
            tensor=tensor, kind=held if held in PLAIN else "F32", why="scalars are never quantised"
        )
    if wanted[0] in PLAIN:
        return _as_float(tensor, wanted[0], "as asked")
    if len(tensor.shape) < 2:
        return _resting(tensor, held, "vectors are never quantised")
    reasons: list[str] = []
    for name in wanted:
        if name in PLAIN:
            return _as_float(tensor, name, ", ".join(reasons))
        if tensor.row % types[name].block == 0:
            return TensorPlan(tensor=tensor, kind=name, why="as asked", info=types[name])
        reasons.append(f"rows of {tensor.row} are not whole blocks of {types[name].block} ({name})")
    return _resting(tensor, held, ", ".join(reasons))


def _held(kind: str, container: str) -> str:
    """Return the type in which a container holds all values of a type."""
    if container == "gguf":
        return IN_GGUF.get(kind, kind)
    return "F32" if kind not in FLOATS and SIZES[kind][0] > 1 else kind


def _as_float(tensor: Tensor, kind: str, why: str) -> TensorPlan:
    if kind == "F16" and overflows(tensor):
        return TensorPlan(tensor=tensor, kind="F32", why="values beyond the range of F16")
    return TensorPlan(tensor=tensor, kind=kind, why=why)


def _resting(tensor: Tensor, held: str, why: str) -> TensorPlan:
    """Return the plan of a tensor that stays float: F16 instead of a wider type, unless its values are beyond F16."""
    if held not in ("F64", "F32"):
        return TensorPlan(tensor=tensor, kind=held, why=why)
    kind = "F32" if overflows(tensor) else "F16"
    return TensorPlan(tensor=tensor, kind=kind, why=why)
